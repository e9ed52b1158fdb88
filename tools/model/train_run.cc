#include "tools/model/train_run.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/files.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/tokenizer/tokenizer.h"
#include "lora/adapter/joined.h"
#include "lora/examples/held_out.h"
#include "lora/formats/adapter_file.h"
#include "lora/records/record_paths.h"
#include "lora/train/initial_magnitudes.h"
#include "lora/train/trainer.h"
#include "lora/train/training_threads.h"
#include "tools/model/learning_curves.h"
#include "tools/model/opened_model.h"
#include "tools/model/train_bench.h"
#include "tools/model/train_log.h"
#include "tools/model/train_plan.h"
#include "tools/model/train_report.h"

namespace fleetune {
namespace {

constexpr uint32_t kOwnerOnly = 0600;  // of checkpoints: what was learned may tell of the texts

// All that a training reads, in memory or mapped.
struct Task {
  std::shared_ptr<const GgufFile> model;
  LlamaShape shape;
  AdapterBase base;
  std::vector<TokenExample> examples;
  std::vector<TokenExample> held_out;
  TrainOptions options;
  TrainMachine machine;
  std::optional<AdapterSpec> above;  // of --on-top-of: what is trained is this part of the adapter
};

absl::StatusOr<std::vector<Projection>> ReadTargets(const std::vector<std::string>& names) {
  std::vector<Projection> targets;
  for (const std::string& name : names) {
    const std::optional<Projection> projection = ProjectionFromName(name);
    if (!projection.has_value()) {
      return absl::InvalidArgumentError(fmt::format("--targets: expected q, k, v, o, gate, up or down, got {}", name));
    }
    targets.push_back(*projection);
  }
  return targets;
}

absl::StatusOr<Adapter> StartAdapter(const TrainArguments& arguments, const AdapterBase& base) {
  if (!arguments.start.empty()) return LoadAdapter(arguments.start, base);
  AdapterSpec::Options options{.rank = arguments.rank, .targets = {}};
  options.alpha =
      arguments.rank_stabilized ? RankStabilizedAlpha(arguments.alpha, arguments.rank) : arguments.alpha;
  ASSIGN_OR_RETURN(options.targets, ReadTargets(arguments.targets));
  ASSIGN_OR_RETURN(AdapterSpec spec, AdapterSpec::Create(options, base.sizes));
  // The adapter below may have been made with the same seed: another A reaches what that one does not.
  const uint64_t seed = arguments.train.seed;
  return Adapter::Initial(std::move(spec), arguments.on_top_of.empty() ? seed : SplitMix64(seed).Next());
}

// What is trained from `start` on, on top of the frozen adapter of --on-top-of.
absl::StatusOr<Adapter> OnTop(const TrainArguments& arguments, const Adapter& start, Task& task) {
  ASSIGN_OR_RETURN(const Adapter below, LoadAdapter(arguments.on_top_of, task.base));
  task.options.ranks = start.spec().rank();
  task.above = start.spec();
  return Joined(start, below);
}

// What the held-out part is drawn by.
Bytes SeedBytes(uint64_t seed) {
  ByteWriter writer;
  writer.Write(seed);
  return writer.Take();
}

absl::StatusOr<Task> ReadTask(const TrainArguments& arguments) {
  Task task;
  task.options = arguments.train;
  ASSIGN_OR_RETURN(task.model, GgufFile::Open(arguments.model));
  ASSIGN_OR_RETURN(task.shape, ReadLlamaShape(*task.model));
  task.base = AdapterBaseOf(task.shape);
  task.machine = {
      .products = arguments.products.empty() ? FastestProductType() : *ProductTypeFromName(arguments.products),
      .memory_bytes = arguments.memory_bytes};
  // The tokenizer goes when the texts are tokens.
  ASSIGN_OR_RETURN(const std::unique_ptr<const Tokenizer> tokenizer, Tokenizer::FromGguf(*task.model));
  ASSIGN_OR_RETURN(std::vector<Record> records, ReadRecordPaths(arguments.data));
  ASSIGN_OR_RETURN(HeldOutSplit split, SplitHeldOut(std::move(records), SeedBytes(arguments.train.seed),
                                                    arguments.train.held_out_share));
  ASSIGN_OR_RETURN(task.examples, TokenizeRecords(split.learned, *tokenizer, arguments.train.sequence_length));
  if (!arguments.held_out.empty()) {
    ASSIGN_OR_RETURN(const std::vector<Record> more, ReadRecordPaths(arguments.held_out));
    split.held_out.insert(split.held_out.end(), more.begin(), more.end());
  }
  if (split.held_out.empty()) return task;
  ASSIGN_OR_RETURN(task.held_out, TokenizeRecords(split.held_out, *tokenizer, arguments.train.sequence_length));
  return task;
}

// What was learned, and what for.
struct Outcome {
  TrainResult result;
  size_t examples = 0;
  size_t held_out = 0;
};

void PrintJson(const TrainArguments& arguments, const Outcome& outcome, const TrainReport& report,
               const nlohmann::ordered_json& figures) {
  nlohmann::ordered_json out = {{"out", arguments.out},
                                {"examples", outcome.examples},
                                {"steps", outcome.result.steps},
                                {"tokens", outcome.result.tokens},
                                {"first_loss", outcome.result.first_loss},
                                {"last_loss", outcome.result.last_loss},
                                {"seconds", report.seconds()},
                                {"tokens_per_second", report.tokens_per_second()},
                                {"peak_memory_bytes", PeakMemoryBytes()}};
  if (outcome.held_out > 0) {
    out["held_out_examples"] = outcome.held_out;
    out["held_out_loss_before"] = outcome.result.held_out_before.value();
    out["held_out_loss"] = outcome.result.held_out_after.value();
    out["best_step"] = outcome.result.best_step;
  }
  if (const PreferenceFigures& preferences = outcome.result.preferences; preferences.pairs > 0) {
    out["preference_margin"] = preferences.margin();
    out["preference_accuracy"] = preferences.accuracy();
  }
  out.update(figures);
  std::puts(out.dump().c_str());
}

void PrintText(const TrainArguments& arguments, const Outcome& outcome, const TrainReport& report,
               const nlohmann::ordered_json& figures) {
  const TrainResult& result = outcome.result;
  fmt::print("{}: loss {:.4f} to {:.4f} in {} steps over {} examples\n", arguments.out, result.first_loss,
             result.last_loss, result.steps, outcome.examples);
  if (outcome.held_out > 0) {
    fmt::print("held-out loss {:.4f} to {:.4f}, over {} examples, after step {}\n", result.held_out_before.value(),
               result.held_out_after.value(), outcome.held_out, result.best_step);
  }
  if (result.preferences.pairs > 0) {
    fmt::print("last step's preferences: margin {:.4f}, accuracy {:.2f}\n", result.preferences.margin(),
               result.preferences.accuracy());
  }
  fmt::print("{} tokens, {:.1f} s, {:.0f} tokens/s, peak memory {} MB\n", result.tokens, report.seconds(),
             report.tokens_per_second(), PeakMemoryBytes() >> 20);
  for (const auto& [name, value] : figures.items()) fmt::print("{}: {}\n", name, value.dump());
}

absl::Status Resume(const TrainArguments& arguments, AdapterTrainer& trainer) {
  absl::StatusOr<TrainingState> state = LoadTrainingState(arguments.checkpoint);
  if (absl::IsNotFound(state.status())) return absl::OkStatus();  // stopped before the first
  RETURN_IF_ERROR(state.status());
  return trainer.GoOnFrom(*std::move(state));
}

// The steps, with all that is written on the way.
absl::Status Steps(const TrainArguments& arguments, AdapterTrainer& trainer, TrainReport& report, TrainBench& bench) {
  std::unique_ptr<TrainLog> log;
  if (!arguments.log.empty()) {
    ASSIGN_OR_RETURN(log, TrainLog::Open(arguments.log, trainer.steps_done()));
  }
  std::vector<TrainStep> steps = log != nullptr ? log->steps() : std::vector<TrainStep>();
  double seconds = report.seconds();
  uint64_t tokens = trainer.tokens_read();
  while (!trainer.done()) {
    ASSIGN_OR_RETURN(const TrainStep step, trainer.Step());
    report.Step(step);
    bench.Step(step);
    steps.push_back(step);
    const double now = report.seconds();
    if (log != nullptr) {
      RETURN_IF_ERROR(log->Add(step, static_cast<double>(step.tokens - tokens) / std::max(now - seconds, 1e-9)));
    }
    seconds = now;
    tokens = step.tokens;
    if (!arguments.checkpoint.empty() && (step.step % arguments.checkpoint_every == 0 || trainer.done())) {
      RETURN_IF_ERROR(WriteFileAtomic(arguments.checkpoint, trainer.Checkpoint(), kOwnerOnly));
    }
  }
  if (arguments.plot.empty()) return absl::OkStatus();
  return WriteFileAtomic(arguments.plot, AsBytes(LearningCurves(steps)));
}

// `start` goes when training begins: it may be large.
absl::Status TrainAndSave(const TrainArguments& arguments, const Task& task, std::unique_ptr<const Adapter> start,
                          AdapterFormat format) {
  ASSIGN_OR_RETURN(const std::unique_ptr<AdapterTrainer> trainer,
                   AdapterTrainer::Create(*task.model, task.examples, *start, task.options, task.machine,
                                          task.held_out));
  start.reset();
  if (arguments.resume) RETURN_IF_ERROR(Resume(arguments, *trainer));
  TrainReport report;
  TrainBench bench;
  bench.Start();
  RETURN_IF_ERROR(Steps(arguments, *trainer, report, bench));
  const nlohmann::ordered_json figures =
      arguments.bench ? bench.Figures(task.shape, trainer->layout()) : nlohmann::ordered_json::object();
  ASSIGN_OR_RETURN(TrainResult result, trainer->Result());
  if (task.above.has_value()) {
    ASSIGN_OR_RETURN(result.adapter, AboveOf(result.adapter, *task.above));
  }
  if (!arguments.out.empty()) {
    RETURN_IF_ERROR(SaveAdapter(arguments.out, format, result.adapter, task.base,
                                std::filesystem::path(arguments.model).filename().string()));
  }
  const Outcome outcome{.result = std::move(result),
                        .examples = task.examples.size(),
                        .held_out = task.held_out.size()};
  arguments.json ? PrintJson(arguments, outcome, report, figures) : PrintText(arguments, outcome, report, figures);
  return absl::OkStatus();
}

}  // namespace

absl::Status RunTraining(const TrainArguments& arguments) {
  const std::optional<AdapterFormat> format = AdapterFormatFromName(arguments.format);
  if (!format.has_value()) {
    return absl::InvalidArgumentError(
        fmt::format("--format: expected fleetune, peft or gguf, got {}", arguments.format));
  }
  SetTrainingThreads(arguments.threads);
  ASSIGN_OR_RETURN(Task task, ReadTask(arguments));
  ASSIGN_OR_RETURN(Adapter initial, StartAdapter(arguments, task.base));
  if (arguments.dora) {
    ASSIGN_OR_RETURN(initial, WithMagnitudes(*task.model, initial));
  }
  if (!arguments.out.empty()) RETURN_IF_ERROR(CheckFormatHolds(*format, initial.spec()));
  if (!arguments.on_top_of.empty()) {
    ASSIGN_OR_RETURN(initial, OnTop(arguments, initial, task));
  }
  auto start = std::make_unique<const Adapter>(std::move(initial));
  if (arguments.bench && arguments.micro_batch_option->empty()) {
    ASSIGN_OR_RETURN(const ModelFootprint footprint, FootprintOf(*task.model));
    task.options.micro_batch = kMostRowsAPass;
    const AdapterFootprint adapter = AdapterOf(start->spec(), task.options.factors, task.options.ranks);
    task.options.micro_batch =
        ChooseLayout(footprint, adapter, task.options, task.machine.products, task.machine.memory_bytes).rows;
  }
  if (arguments.plan) return PrintTrainPlan(arguments, task.options, task.machine, *task.model, *start);
  return TrainAndSave(arguments, task, std::move(start), *format);
}

}  // namespace fleetune
