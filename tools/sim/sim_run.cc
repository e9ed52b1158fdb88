#include "tools/sim/sim_run.h"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>

#include "base/crypto/sha256.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/gguf/llama_shape.h"
#include "inference/tokenizer/tokenizer.h"
#include "lora/formats/adapter_file.h"
#include "lora/train/trainer.h"
#include "lora/train/training_threads.h"
#include "tools/sim/sim_report.h"
#include "tools/sim/torch_trainer.h"

namespace fleetune {
namespace {

struct SimInput {
  std::shared_ptr<const GgufFile> model;
  LlamaShape shape;
  SimTask task;
  SimData data;
};

absl::StatusOr<SimInput> ReadInput(const SimArguments& arguments) {
  SimInput input;
  ASSIGN_OR_RETURN(const Bytes toml, ReadFile(arguments.task, kMaxTaskTomlBytes));
  ASSIGN_OR_RETURN(input.model, GgufFile::Open(arguments.base));
  ASSIGN_OR_RETURN(input.shape, ReadLlamaShape(*input.model));
  ASSIGN_OR_RETURN(const std::shared_ptr<const MappedFile> file, MappedFile::Open(arguments.base));
  const absl::StatusOr<SimTask> task = MakeSimTask(AsText(toml), *input.model, Sha256(file->bytes()), arguments.masks);
  if (!task.ok()) {
    return absl::Status(task.status().code(), arguments.task + ": " + std::string(task.status().message()));
  }
  input.task = *task;
  ASSIGN_OR_RETURN(const std::unique_ptr<const Tokenizer> tokenizer, Tokenizer::FromGguf(*input.model));
  ASSIGN_OR_RETURN(const std::vector<DeviceTexts> texts, ReadDeviceTexts(arguments.data, arguments.tuning));
  ASSIGN_OR_RETURN(input.data, Tokenized(texts, *tokenizer, input.task.spec.plan.train));
  if (input.data.devices.size() < input.task.spec.invited_devices) {
    return absl::InvalidArgumentError(fmt::format("{}: round.invited: {} devices, but {} has {} files", arguments.task,
                                                  input.task.spec.invited_devices, arguments.data,
                                                  input.data.devices.size()));
  }
  return input;
}

absl::Status MakeFolder(const std::string& out) {
  if (out.empty()) return absl::OkStatus();
  std::error_code error;
  std::filesystem::create_directories(out, error);
  if (error) return absl::UnavailableError(out + ": " + error.message());
  if (std::filesystem::exists(out + "/coordinator.db")) {
    return absl::AlreadyExistsError(out + ": holds a simulation already; give another folder to --out");
  }
  return absl::OkStatus();
}

absl::Status Write(const SimArguments& arguments, const SimInput& input, const SimOutcome& outcome,
                   const std::string& summary) {
  if (arguments.out.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(WriteFileAtomic(arguments.out + "/summary.json", AsBytes(summary + "\n")));
  if (!outcome.fleet.has_value()) return absl::OkStatus();
  const LlamaShape& shape = input.shape;
  return SaveAdapter(arguments.out + "/adapter.fta", AdapterFormat::kFleetune, outcome.fleet->adapter,
                     {.sizes = input.task.model.sizes,
                      .architecture = shape.architecture,
                      .heads = shape.heads,
                      .kv_heads = shape.kv_heads,
                      .permuted_qk = shape.architecture == "llama"},
                     std::filesystem::path(arguments.base).filename().string());
}

}  // namespace

absl::Status RunSimulation(const SimArguments& arguments) {
  const auto started = std::chrono::steady_clock::now();
  SetTrainingThreads(arguments.threads);
  ASSIGN_OR_RETURN(const SimInput input, ReadInput(arguments));
  RETURN_IF_ERROR(MakeFolder(arguments.out));
  TorchTrainer trainer(input.model);
  SimReport report(arguments.json ? stderr : stdout);
  SimOutcome outcome;
  ASSIGN_OR_RETURN(outcome.base, LossesOf(trainer, input.data, nullptr));
  report.Start(input.task, input.data, outcome.base);

  if (!arguments.pooled || arguments.tokens == 0) {
    report.Busy("round 1 ...");
    ASSIGN_OR_RETURN(outcome.fleet,
                     RunFleet(input.task, input.data, trainer,
                              {.rounds = arguments.rounds,
                               .seed = arguments.seed,
                               .store = arguments.out.empty() ? ":memory:" : arguments.out + "/coordinator.db"},
                              [&](const RoundResult& round) {
                                report.Round(round);
                                if (round.number < arguments.rounds) {
                                  report.Busy(fmt::format("round {} ...", round.number + 1));
                                }
                              }));
  }
  if (arguments.pooled) {
    report.Busy("pooled ...");
    const uint64_t tokens = arguments.tokens > 0 ? arguments.tokens : outcome.fleet->tokens();
    ASSIGN_OR_RETURN(outcome.pooled,
                     RunPooled(input.task, input.data, trainer,
                               {.tokens = tokens, .learning_rates = arguments.pooled_rates},
                               [&](const PooledResult& pooled) { report.Pooled(pooled); }));
  }
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  report.End(outcome);
  const std::string summary = SummaryOf(arguments, input.task, input.data, outcome).dump(2);
  if (arguments.json) std::puts(summary.c_str());
  return Write(arguments, input, outcome, summary);
}

}  // namespace fleetune
