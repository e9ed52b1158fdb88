#include "tools/model/train_adapter_command.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "inference/tokenizer/tokenizer.h"
#include "lora/formats/adapter_file.h"
#include "lora/records/record_paths.h"
#include "lora/train/trainer.h"
#include "tools/model/opened_model.h"
#include "tools/model/train_report.h"

namespace fleetune {
namespace {

struct TrainArguments {
  std::string model;
  std::vector<std::string> data;
  std::vector<std::string> held_out;
  std::string start;
  std::string out;
  std::string format = "fleetune";
  std::string schedule = "constant";
  std::string factors = "both";
  std::vector<std::string> targets = {"q", "k", "v", "o", "gate", "up", "down"};
  uint32_t rank = 8;
  float alpha = 16;
  uint32_t threads = 0;
  bool json = false;
  TrainOptions train = {.micro_batch = 8};
};

absl::StatusOr<Adapter> StartAdapter(const TrainArguments& arguments, const AdapterBase& base) {
  if (!arguments.start.empty()) return LoadAdapter(arguments.start, base);
  AdapterSpec::Options options{.rank = arguments.rank, .alpha = arguments.alpha, .targets = {}};
  for (const std::string& name : arguments.targets) {
    const std::optional<Projection> projection = ProjectionFromName(name);
    if (!projection.has_value()) {
      return absl::InvalidArgumentError(
          fmt::format("--targets: expected q, k, v, o, gate, up or down, got {}", name));
    }
    options.targets.push_back(*projection);
  }
  ASSIGN_OR_RETURN(AdapterSpec spec, AdapterSpec::Create(options, base.sizes));
  return Adapter::Initial(std::move(spec), arguments.train.seed);
}

// What was learned, and what for.
struct Outcome {
  TrainResult result;
  size_t examples = 0;
  std::optional<double> held_out_before;
  std::optional<double> held_out_after;
};

void PrintJson(const TrainArguments& arguments, const Outcome& outcome, const TrainReport& report) {
  nlohmann::ordered_json out = {{"out", arguments.out},
                                {"examples", outcome.examples},
                                {"steps", outcome.result.steps},
                                {"tokens", outcome.result.tokens},
                                {"first_loss", outcome.result.first_loss},
                                {"last_loss", outcome.result.last_loss},
                                {"seconds", report.seconds()},
                                {"tokens_per_second", report.tokens_per_second()},
                                {"peak_memory_bytes", PeakMemoryBytes()}};
  if (outcome.held_out_before.has_value()) {
    out["held_out_loss_before"] = *outcome.held_out_before;
    out["held_out_loss"] = *outcome.held_out_after;
  }
  std::puts(out.dump().c_str());
}

void PrintText(const TrainArguments& arguments, const Outcome& outcome, const TrainReport& report) {
  const TrainResult& result = outcome.result;
  fmt::print("{}: loss {:.4f} to {:.4f} in {} steps over {} examples\n", arguments.out, result.first_loss,
             result.last_loss, result.steps, outcome.examples);
  if (outcome.held_out_before.has_value()) {
    fmt::print("held-out loss {:.4f} to {:.4f}\n", *outcome.held_out_before, *outcome.held_out_after);
  }
  fmt::print("{} tokens, {:.1f} s, {:.0f} tokens/s, peak memory {} MB\n", result.tokens, report.seconds(),
             report.tokens_per_second(), PeakMemoryBytes() >> 20);
}

absl::Status TrainAndSave(const TrainArguments& arguments) {
  const std::optional<AdapterFormat> format = AdapterFormatFromName(arguments.format);
  if (!format.has_value()) {
    return absl::InvalidArgumentError(fmt::format("--format: expected fleetune, peft or gguf, got {}", arguments.format));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<const GgufFile> model, GgufFile::Open(arguments.model));
  ASSIGN_OR_RETURN(const LlamaShape shape, ReadLlamaShape(*model));
  ASSIGN_OR_RETURN(const std::unique_ptr<const Tokenizer> tokenizer, Tokenizer::FromGguf(*model));
  const AdapterBase base = AdapterBaseOf(shape);
  ASSIGN_OR_RETURN(const Adapter start, StartAdapter(arguments, base));
  ASSIGN_OR_RETURN(const std::vector<Record> records, ReadRecordPaths(arguments.data));
  ASSIGN_OR_RETURN(const std::vector<TokenExample> examples,
                   TokenizeRecords(records, *tokenizer, arguments.train.sequence_length));
  SetTrainingThreads(arguments.threads);

  std::vector<TokenExample> held_out;
  std::optional<double> before, after;
  if (!arguments.held_out.empty()) {
    ASSIGN_OR_RETURN(const std::vector<Record> held_out_records, ReadRecordPaths(arguments.held_out));
    ASSIGN_OR_RETURN(held_out, TokenizeRecords(held_out_records, *tokenizer, arguments.train.sequence_length));
    ASSIGN_OR_RETURN(before, MeanLoss(*model, held_out, &start));
  }
  TrainReport report;
  ASSIGN_OR_RETURN(TrainResult result, TrainAdapter(*model, examples, start, arguments.train,
                                                    [&](const TrainStep& step) {
                                                      report.Step(step);
                                                      return true;
                                                    }));
  if (before.has_value()) {
    ASSIGN_OR_RETURN(after, MeanLoss(*model, held_out, &result.adapter));
  }
  RETURN_IF_ERROR(SaveAdapter(arguments.out, *format, result.adapter, base,
                              std::filesystem::path(arguments.model).filename().string()));
  const Outcome outcome{
      .result = std::move(result), .examples = examples.size(), .held_out_before = before, .held_out_after = after};
  arguments.json ? PrintJson(arguments, outcome, report) : PrintText(arguments, outcome, report);
  return absl::OkStatus();
}

void AddFileOptions(CLI::App& command, TrainArguments& arguments) {
  command.add_option("--model", arguments.model, "GGUF file")->required();
  command.add_option("--data", arguments.data, "Records: a .jsonl or .txt file, or a folder of them; may be repeated")
      ->required()
      ->allow_extra_args(false);
  command.add_option("--held-out", arguments.held_out, "Records to measure before and after; may be repeated")
      ->allow_extra_args(false);
  command.add_option("--start", arguments.start, "Adapter to go on from, instead of a new one");
  command.add_option("--out", arguments.out, "Adapter to write")->required();
  command.add_option("--format", arguments.format, "fleetune, peft or gguf")->capture_default_str();
  command.add_flag("--json", arguments.json, "The result as JSON");
}

void AddAdapterOptions(CLI::App& command, TrainArguments& arguments) {
  command.add_option("--rank", arguments.rank, "Rank of each module")->capture_default_str();
  command.add_option("--alpha", arguments.alpha, "Scale times rank")->capture_default_str();
  command.add_option("--targets", arguments.targets, "Modules: some of q,k,v,o,gate,up,down")
      ->delimiter(',')
      ->capture_default_str();
  command.add_option("--factors", arguments.factors, "What is trained: both factors, a or b")
      ->capture_default_str()
      ->check(CLI::IsMember({"both", "a", "b"}));
}

void AddTrainOptions(CLI::App& command, TrainArguments& arguments) {
  TrainOptions& train = arguments.train;
  command.add_option("--learning-rate", train.learning_rate, "Of AdamW, its peak")->capture_default_str();
  command.add_option("--weight-decay", train.weight_decay, "Of AdamW")->capture_default_str();
  command.add_option("--clip", train.clip_gradient_norm, "Largest L2 norm of a gradient")->capture_default_str();
  CLI::Option* steps = command.add_option("--steps", train.steps, "Optimizer steps; by default, what --epochs take");
  command.add_option("--epochs", train.epochs, "Passes over the data")->capture_default_str()->excludes(steps);
  command.add_option("--sequence", train.sequence_length, "Tokens a packed sequence")->capture_default_str();
  command.add_option("--micro-batch", train.micro_batch, "Sequences a forward pass")->capture_default_str();
  command.add_option("--accumulate", train.accumulate, "Forward passes a step")->capture_default_str();
  command.add_option("--schedule", arguments.schedule, "constant or cosine")
      ->capture_default_str()
      ->check(CLI::IsMember({"constant", "cosine"}));
  command.add_option("--warmup", train.warmup_steps, "Steps until the peak rate")->capture_default_str();
  command.add_option("--dropout", train.dropout, "Of the input of A")->capture_default_str();
  command.add_option("--seed", train.seed, "Of A, order and dropout")->capture_default_str();
  command.add_option("--threads", arguments.threads, "Cores; 0: all")->capture_default_str()->check(CLI::Range(0, 1024));
}

}  // namespace

void AddTrainAdapterCommand(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<TrainArguments>();
  CLI::App* command = app.add_subcommand("train", "Trains a LoRA adapter over a model on records of this machine");
  AddFileOptions(*command, *arguments);
  AddAdapterOptions(*command, *arguments);
  AddTrainOptions(*command, *arguments);
  command->callback([arguments, &exit_code] {
    arguments->train.schedule = arguments->schedule == "cosine" ? Schedule::kCosine : Schedule::kConstant;
    arguments->train.factors = arguments->factors == "both" ? Factors::kBoth
                               : arguments->factors == "a"  ? Factors::kA
                                                            : Factors::kB;
    exit_code = ReportStatus(TrainAndSave(*arguments));
  });
}

}  // namespace fleetune
