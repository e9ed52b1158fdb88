#include "tools/model/train_plan.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/gguf/llama_shape.h"
#include "lora/plan/task_fit.h"
#include "lora/plan/training_memory.h"
#include "lora/train/product_rate.h"

namespace fleetune {
namespace {

// Of the rate of products, what a training reaches besides what is counted twice: see docs/targets.md.
constexpr double kReachedShare = 0.75;
// Of int8 products, which are all those forth, beside LibTorch's of bf16.
constexpr double kInt8Speed = 1.4;

// Of a layer that is not kept all but the last product is computed again; of CountedOperations that is a half at most.
double StepSeconds(const LlamaShape& shape, const ModelFootprint& footprint, const TrainOptions& options,
                   const TrainerLayout& layout) {
  double layer = 0;
  for (const ProjectionSizes& sizes : footprint.sizes.projections) layer += 2.0 * sizes.in * sizes.out;
  const ProjectionSizes& down = footprint.sizes.projections[static_cast<size_t>(Projection::kDown)];
  layer -= 2.0 * down.in * down.out;
  const double again = layer * (shape.layers - layout.kept_layers);
  const double tokens = static_cast<double>(options.sequence_length) * options.micro_batch * options.accumulate;
  const double each_way = CountedOperations(shape) / 2;
  const double forth = (each_way + again) / (layout.products == ProductType::kInt8 ? kInt8Speed : 1.0);
  return tokens * (forth + each_way) / (kReachedShare * MeasureProductRate(shape, layout.products));
}

// The plan that a fleet would send for the same training.
TrainingPlan AsPlan(const TrainOptions& options, const AdapterSpec& spec) {
  TrainingPlan plan;
  plan.targets = spec.targets();
  plan.rank = spec.rank();
  plan.alpha = spec.alpha();
  plan.train = options;
  plan.trained = options.factors == Factors::kBoth ? LoraMethod::kFactors
                 : options.factors == Factors::kA  ? LoraMethod::kAlternating
                                                   : LoraMethod::kB;
  return plan;
}

}  // namespace

absl::Status PrintTrainPlan(const TrainArguments& arguments, const TrainOptions& options, const TrainMachine& machine,
                            const GgufFile& model, const Adapter& start) {
  ASSIGN_OR_RETURN(const LlamaShape shape, ReadLlamaShape(model));
  ASSIGN_OR_RETURN(const ModelFootprint footprint, FootprintOf(model));
  const AdapterFootprint adapter = AdapterOf(start.spec(), options.factors, options.ranks);
  const TrainerLayout layout = ChooseLayout(footprint, adapter, options, machine.products, machine.memory_bytes);
  const TrainingMemory memory = EstimateTrainingMemory(footprint, adapter, options, layout);
  const TaskFit fit = FitTask(AsPlan(options, start.spec()), footprint, machine.memory_bytes, machine.products,
                              start.spec().dora());
  const double seconds = StepSeconds(shape, footprint, options, layout);
  // Of what a fleet would send, which are no magnitudes.
  const uint64_t bytes_up = (adapter.trained - adapter.magnitudes) * UpdateEncoding{}.lane_bits / 8;
  if (arguments.json) {
    const nlohmann::ordered_json out = {{"fits", fit.fits},
                                        {"reason", fit.reason},
                                        {"memory_bytes", memory.total()},
                                        {"memory",
                                         {{"runtime", memory.runtime},
                                          {"weights", memory.weights},
                                          {"activations", memory.activations},
                                          {"adapter", memory.adapter}}},
                                        {"products", ProductTypeName(layout.products)},
                                        {"rows_a_pass", layout.rows},
                                        {"kept_layers", layout.kept_layers},
                                        {"seconds_per_step", seconds},
                                        {"bytes_up", bytes_up}};
    std::puts(out.dump().c_str());
  } else {
    constexpr uint64_t kMega = 1'000'000;
    fmt::print("memory {} MB: model {}, activations {}, adapter {}, program {}\n", memory.total() / kMega,
               memory.weights / kMega, memory.activations / kMega, memory.adapter / kMega, memory.runtime / kMega);
    fmt::print("{} sequences a pass, {} of {} layers kept, products {}\n", layout.rows, layout.kept_layers,
               shape.layers, ProductTypeName(layout.products));
    fmt::print("{:.1f} s of processor time a step, {} bytes up a round\n", seconds, bytes_up);
    if (!fit.fits) fmt::print("does not fit: {}\n", fit.reason);
  }
  if (fit.fits) return absl::OkStatus();
  return absl::ResourceExhaustedError(fit.reason);
}

}  // namespace fleetune
