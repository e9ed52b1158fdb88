#include "tools/model/bench_command.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/kernels/machine_rates.h"
#include "inference/model/packed_sequence.h"
#include "inference/packed/packed_model.h"
#include "tools/model/engine_arguments.h"
#include "tools/model/opened_model.h"
#include "tools/model/reading_bench.h"
#include "tools/model/serving_bench.h"

namespace fleetune {
namespace {

struct BenchArguments {
  std::string model;
  EngineArguments engine;
  uint32_t prompt = 512;
  uint32_t gen = 128;
  uint32_t rank = 0;
  uint32_t repeat = 3;
  std::vector<uint32_t> streams;
  bool json = false;
};

// An adapter of random weights on all projections, which costs what a trained one does.
absl::StatusOr<std::shared_ptr<const Adapter>> RandomAdapter(const Model& model, uint32_t rank, uint64_t seed = 1) {
  if (rank == 0) return nullptr;
  std::vector<Projection> all;
  for (size_t i = 0; i < kNumProjections; ++i) all.push_back(static_cast<Projection>(i));
  ASSIGN_OR_RETURN(const AdapterSpec spec,
                   AdapterSpec::Create({.rank = rank, .targets = std::move(all)}, SizesOf(model.shape())));
  std::vector<float> b(spec.b_size());
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i % 17) * 1e-4f;
  ASSIGN_OR_RETURN(Adapter adapter, Adapter::Create(spec, DeriveA(spec, seed), std::move(b)));
  return std::make_shared<const Adapter>(std::move(adapter));
}

// Of one token: each weight is multiplied with one value. The last matrix is read for the last token of a prompt alone.
uint64_t WeightsOfLayers(const LlamaShape& shape) {
  uint64_t weights = 0;
  for (const ProjectionSizes& sizes : SizesOf(shape).projections) weights += uint64_t{sizes.in} * sizes.out;
  return weights * shape.layers;
}

// Of keys and values, that one token among those that are decoded reads on the average.
uint64_t CacheBytes(const Model& model, const BenchArguments& arguments) {
  const uint32_t tokens = arguments.prompt + arguments.gen / 2;
  return PackedSequence::SavedBytes(model.shape(), model.cache_type(), tokens);
}

uint64_t WeightBytes(const Model& model, const PackedModel& packed) {
  uint64_t bytes = 0;
  for (const GgufTensor& tensor : model.file().tensors()) {
    if (const PackedMatrix* matrix = packed.Find(tensor.name)) bytes += matrix->data.size();
  }
  return bytes;
}

absl::StatusOr<nlohmann::ordered_json> Measure(const BenchArguments& arguments) {
  ASSIGN_OR_RETURN(const EngineOptions options, ToOptions(arguments.engine));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, OpenModel(arguments.model, options));
  if (model->packed() == nullptr) {
    return absl::FailedPreconditionError("the packed form has neither a place on disk nor in memory");
  }
  const Compute compute = model->compute();
  const double threads = compute.workers == nullptr ? 1 : static_cast<double>(compute.workers->threads());
  ASSIGN_OR_RETURN(const std::shared_ptr<const Adapter> adapter, RandomAdapter(*model, arguments.rank));
  ASSIGN_OR_RETURN(const ReadingSpeeds speeds, MeasureReading(model, {.prompt = arguments.prompt,
                                                                      .gen = arguments.gen,
                                                                      .repeat = arguments.repeat,
                                                                      .adapter = adapter}));
  rusage usage;  // before the machine is measured, which needs memory of its own
  getrusage(RUSAGE_SELF, &usage);
  const MachineRates rates = MeasureMachine(compute);
  const double prefill = speeds.prefill.processor;
  const double decode = speeds.decode.processor;
  const uint64_t weight_bytes = WeightBytes(*model, *model->packed());
  const uint64_t cache_bytes = CacheBytes(*model, arguments);
  const auto share_of_reading = [&](uint64_t bytes) { return decode * static_cast<double>(bytes) / rates.read_bytes; };
  nlohmann::ordered_json figures = {
      {"isa", InstructionSetName(compute.set)},
      {"threads", threads},
      {"prompt", arguments.prompt},
      {"gen", arguments.gen},
      {"rank", arguments.rank},
      {"prefill_tokens_per_second", speeds.prefill.wall},
      {"decode_tokens_per_second", speeds.decode.wall},
      {"prefill_tokens_per_second_of_processor_time", prefill},
      {"decode_tokens_per_second_of_processor_time", decode},
      {"peak_rss_bytes", static_cast<uint64_t>(usage.ru_maxrss) * 1024},
      {"weight_bytes", weight_bytes},
      {"cache_type", TensorTypeName(model->cache_type())},
      {"cache_bytes", cache_bytes},
      {"read_bytes_per_second", rates.read_bytes},
      {"multiply_adds_per_second", rates.multiply_adds},
      {"share_of_bandwidth", share_of_reading(weight_bytes + cache_bytes)},
      {"share_of_bandwidth_by_weights", share_of_reading(weight_bytes)},
      {"share_of_product_rate", prefill * static_cast<double>(WeightsOfLayers(model->shape())) / rates.multiply_adds}};
  if (adapter != nullptr) {
    figures["adapter_share_of_prefill"] = speeds.adapter_share_of_prefill;
    figures["adapter_share_of_decode"] = speeds.adapter_share_of_decode;
  }
  return figures;
}

// Each stream has an adapter of its own, if any.
absl::StatusOr<nlohmann::ordered_json> MeasureStreams(const BenchArguments& arguments) {
  ASSIGN_OR_RETURN(const EngineOptions engine, ToOptions(arguments.engine));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Generator> generator, Generator::Open(arguments.model, engine));
  ServingBenchOptions options = {.streams = arguments.streams,
                                 .prompt = arguments.prompt,
                                 .gen = arguments.gen,
                                 .repeat = arguments.repeat,
                                 .adapters = {}};
  const uint32_t most = *std::max_element(arguments.streams.begin(), arguments.streams.end());
  for (uint32_t i = 0; i < most && arguments.rank > 0; ++i) {
    ASSIGN_OR_RETURN(options.adapters.emplace_back(), RandomAdapter(*generator->model(), arguments.rank, i + 1));
  }
  ASSIGN_OR_RETURN(nlohmann::ordered_json figures, MeasureServing(generator, options));
  return nlohmann::ordered_json{
      {"prompt", arguments.prompt}, {"gen", arguments.gen}, {"rank", arguments.rank}, {"serving", std::move(figures)}};
}

absl::Status RunBench(const BenchArguments& arguments) {
  ASSIGN_OR_RETURN(const nlohmann::ordered_json figures,
                   arguments.streams.empty() ? Measure(arguments) : MeasureStreams(arguments));
  if (arguments.json) {
    std::puts(figures.dump().c_str());
    return absl::OkStatus();
  }
  for (const auto& [name, value] : figures.items()) fmt::print("{:<44} {}\n", name, value.dump());
  return absl::OkStatus();
}

}  // namespace

void AddBenchCommand(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<BenchArguments>();
  CLI::App* command =
      app.add_subcommand("bench", "How fast a model reads and answers, beside what this machine could do");
  command->add_option("--model", arguments->model, "GGUF file")->required();
  command->add_option("--prompt", arguments->prompt, "Tokens read at once")->capture_default_str()->check(CLI::Range(1u, 1u << 20));
  command->add_option("--gen", arguments->gen, "Tokens then read one by one, as in an answer")
      ->capture_default_str()
      ->check(CLI::Range(1u, 1u << 20));
  command->add_option("--rank", arguments->rank, "With an adapter of this rank on all projections, in turns with none; 0: none")
      ->capture_default_str();
  command->add_option("--repeat", arguments->repeat, "Runs, of which the median counts")
      ->capture_default_str()
      ->check(CLI::Range(1u, 1000u));
  command
      ->add_option("--streams", arguments->streams,
                   "Instead: tokens a second of so many answers at once, together and side by side; a list: 1,4,8")
      ->delimiter(',')
      ->check(CLI::Range(1u, 64u));
  AddEngineOptions(*command, arguments->engine);
  command->add_flag("--json", arguments->json, "One JSON object");
  command->callback([arguments, &exit_code] { exit_code = ReportStatus(RunBench(*arguments)); });
}

}  // namespace fleetune
