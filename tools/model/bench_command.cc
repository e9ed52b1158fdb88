#include "tools/model/bench_command.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/kernels/machine_rates.h"
#include "inference/packed/packed_model.h"
#include "tools/model/engine_arguments.h"
#include "tools/model/opened_model.h"
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

// Tokens a second, by the clock and by the processor time of a thread (all threads' time divided by their number).
struct Speed {
  double wall = 0;
  double processor = 0;
};

class Stopwatch {
 public:
  explicit Stopwatch(double threads) : threads_(threads) {}
  Speed Of(double tokens) const {
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - wall_;
    return {.wall = tokens / wall.count(), .processor = tokens * threads_ / (ProcessorSeconds() - processor_)};
  }

 private:
  const double threads_;
  const std::chrono::steady_clock::time_point wall_ = std::chrono::steady_clock::now();
  const double processor_ = ProcessorSeconds();
};

struct Run {
  Speed prefill, decode;
};

// A prompt in one piece, then tokens one by one: which ones does not matter to the time.
absl::StatusOr<Run> RunOnce(const std::shared_ptr<const Model>& model, const std::shared_ptr<const Adapter>& adapter,
                            const BenchArguments& arguments, double threads) {
  const uint32_t vocabulary = model->shape().vocabulary;
  std::vector<int32_t> tokens(arguments.prompt);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 7919 % vocabulary);
  ASSIGN_OR_RETURN(const std::unique_ptr<Sequence> sequence,
                   Sequence::Start(model, adapter, arguments.prompt + arguments.gen));
  std::vector<float> logits(vocabulary);
  Run run;
  const Stopwatch prefill(threads);
  RETURN_IF_ERROR(sequence->Append(tokens, logits));
  run.prefill = prefill.Of(arguments.prompt);
  const Stopwatch decode(threads);
  for (uint32_t i = 0; i < arguments.gen; ++i) {
    const int32_t token = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    RETURN_IF_ERROR(sequence->Append({&token, 1}, logits));
  }
  run.decode = decode.Of(arguments.gen);
  return run;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

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
  std::vector<double> figures[4];
  for (uint32_t i = 0; i < arguments.repeat; ++i) {
    ASSIGN_OR_RETURN(const Run run, RunOnce(model, adapter, arguments, threads));
    figures[0].push_back(run.prefill.wall);
    figures[1].push_back(run.decode.wall);
    figures[2].push_back(run.prefill.processor);
    figures[3].push_back(run.decode.processor);
  }
  rusage usage;  // before the machine is measured, which needs memory of its own
  getrusage(RUSAGE_SELF, &usage);
  const MachineRates rates = MeasureMachine(compute);
  const double prefill = Median(figures[2]);
  const double decode = Median(figures[3]);
  return nlohmann::ordered_json{
      {"isa", InstructionSetName(compute.set)},
      {"threads", threads},
      {"prompt", arguments.prompt},
      {"gen", arguments.gen},
      {"rank", arguments.rank},
      {"prefill_tokens_per_second", Median(figures[0])},
      {"decode_tokens_per_second", Median(figures[1])},
      {"prefill_tokens_per_second_of_processor_time", prefill},
      {"decode_tokens_per_second_of_processor_time", decode},
      {"peak_rss_bytes", static_cast<uint64_t>(usage.ru_maxrss) * 1024},
      {"weight_bytes", WeightBytes(*model, *model->packed())},
      {"read_bytes_per_second", rates.read_bytes},
      {"multiply_adds_per_second", rates.multiply_adds},
      {"share_of_bandwidth",
       decode * static_cast<double>(WeightBytes(*model, *model->packed())) / rates.read_bytes},
      {"share_of_product_rate",
       prefill * static_cast<double>(WeightsOfLayers(model->shape())) / rates.multiply_adds}};
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
  command->add_option("--rank", arguments->rank, "With an adapter of this rank on all projections; 0: none")
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
