#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/crypto/random.h"
#include "base/status_macros.h"
#include "client/app/base_model.h"
#include "client/app/daemon_lock.h"
#include "client/app/identity.h"
#include "client/app/personal_facts.h"
#include "client/app/print.h"
#include "client/app/served_version.h"
#include "client/app/settings.h"
#include "client/app/state_store.h"
#include "client/app/verbs.h"
#include "client/data/audit_log.h"
#include "client/data/example_store.h"
#include "client/governor/governor.h"
#include "client/governor/machine_readings.h"
#include "client/personal/personal_shelf.h"
#include "client/personal/personal_training.h"
#include "client/update/model_shelf.h"
#include "lora/records/record.h"

namespace fleetune {
namespace {

constexpr std::chrono::milliseconds kLook{250};

absl::Status Audit(const DeviceFolder& folder, const Clock& clock, const std::string& text) {
  ASSIGN_OR_RETURN(DeviceAuditLog audit, DeviceAuditLog::Open(folder.root));
  return audit.Append({.time = clock.Now(), .direction = AuditDirection::kLocal, .bytes = 0, .text = text}).status();
}

absl::StatusOr<DaemonLock> TakeTurn(const DeviceFolder& folder) {
  absl::StatusOr<DaemonLock> lock = DaemonLock::Take(folder.personal_lock());
  if (!absl::IsFailedPrecondition(lock.status())) return lock;
  return absl::FailedPreconditionError("a personal adapter is being trained on this device already");
}

// Two trainings at once would take twice the memory; with TakeTurn() the daemon begins none.
absl::Status CheckDaemonTrainsNothing(const DeviceFolder& folder) {
  if (!DaemonLock::IsHeld(folder.lock())) return absl::OkStatus();
  ASSIGN_OR_RETURN(StateStore state, StateStore::Open(folder.state()));
  ASSIGN_OR_RETURN(const Heartbeat heartbeat, state.ReadHeartbeat());
  if (heartbeat.phase != "training") return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("the daemon trains now ({}): try again when it is done", heartbeat.detail));
}

// Whatever [governor] says of battery, heat and time, since its owner asked: its memory is kept in any case.
absl::StatusOr<uint64_t> TrainersMemory(const ClientSettings& settings, const DeviceBudget& budget,
                                        const ModelFootprint& model, TimePoint now) {
  GovernorLimits limits = settings.governor;
  limits.max_memory_bytes = budget.memory_bytes;
  RETURN_IF_ERROR(Validate(limits));
  const uint64_t all = TrainingMemoryBytes(ReadMachine({}, now), limits);
  if (all > model.file_bytes) return all - model.file_bytes;
  return absl::ResourceExhaustedError(fmt::format("training may take {} MB now, and the model alone has {} MB",
                                                  all / 1'000'000, model.file_bytes / 1'000'000));
}

absl::StatusOr<StoredVersion> Below(const DeviceFolder& folder, const PersonalSettings& settings) {
  ASSIGN_OR_RETURN(std::optional<StoredVersion> below, ServedVersionOf(folder, settings.task));
  if (below.has_value()) return *std::move(below);
  return absl::NotFoundError("no adapter on this device yet to put a personal one on: run the daemon");
}

absl::StatusOr<PersonalInputs> Gather(const VerbContext& context, const ClientSettings& settings,
                                      ExampleStore& examples, const Clock& clock) {
  const DeviceFolder& folder = context.folder;
  const PersonalSettings& personal = *settings.personal;
  ASSIGN_OR_RETURN(const DeviceIdentity identity, LoadIdentity(folder));
  ASSIGN_OR_RETURN(const DeviceBudget budget, BudgetOf(settings, identity.profile));
  ASSIGN_OR_RETURN(const StoredVersion below, Below(folder, personal));
  std::vector<std::string> problems;
  ASSIGN_OR_RETURN(const ModelShelf models, ModelShelf::Open(folder.models(), settings.models, problems));
  for (const std::string& problem : problems) std::fprintf(stderr, "%s\n", problem.c_str());
  ASSIGN_OR_RETURN(const std::string model_path, models.Path(below.base));
  ASSIGN_OR_RETURN(const ModelFootprint model, ReadFootprint(model_path));
  ASSIGN_OR_RETURN(Adapter adapter, RebuildAdapter(below, model.sizes));
  PersonalInputs inputs{.settings = personal,
                        .task = below.version.task,
                        .base = below.base,
                        .model_path = model_path,
                        .context = model.context,
                        .version = below.version.version,
                        .below = std::move(adapter),
                        .seed = SecureRandom().NextU64(),
                        .threads = budget.threads,
                        .now = clock.Now()};
  ASSIGN_OR_RETURN(inputs.memory_bytes, TrainersMemory(settings, budget, model, clock.Now()));
  ASSIGN_OR_RETURN(inputs.held_out_secret, examples.HeldOutSecret());
  ASSIGN_OR_RETURN(const std::vector<Record> records, examples.Read(personal.data_tag));
  for (const Record& record : records) inputs.records.push_back(FormatRecord(record));
  // One that does not open is replaced.
  absl::StatusOr<PersonalAdapter> present = PersonalShelf(folder.root, &examples).Load(inputs.task, inputs.base);
  if (present.ok()) inputs.present = *std::move(present);
  return inputs;
}

// On standard error: on a terminal one line that changes, else about one in a tenth of the way.
class Progress {
 public:
  void Tell(const TrainingProgress& progress) {
    const bool last = progress.step == progress.steps;
    const uint32_t every = terminal_ ? 1 : std::max(1u, progress.steps / 10);
    if (progress.step != 1 && !last && progress.step % every != 0) return;
    fmt::print(stderr, "{}step {}/{}  loss {:.4f}{}", terminal_ ? "\r\x1b[K" : "", progress.step, progress.steps,
               progress.loss, terminal_ && !last ? "" : "\n");
    std::fflush(stderr);
  }

 private:
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
};

std::string Words(const PersonalOutcome& outcome) {
  const PersonalAdapter& personal = outcome.adapter;
  const std::string present =
      outcome.loss_with_present.has_value() ? fmt::format(", {:.4f} with the one before", *outcome.loss_with_present) : "";
  return fmt::format(
      "a personal adapter on top of version {} of task {} was learned from {} examples of this device; held-out loss "
      "{:.4f} without it{}, {:.4f} with it: {}; nothing of it leaves this device",
      personal.over_version, personal.task, personal.examples, personal.loss_without, present, personal.loss_with,
      outcome.better ? "it is kept" : "it is not kept, for it is not better");
}

void Print(const PersonalOutcome& outcome, bool as_json) {
  if (!as_json) return PrintLine(Words(outcome));
  const PersonalAdapter& personal = outcome.adapter;
  nlohmann::json facts = {{"task", personal.task},
                          {"version", personal.over_version},
                          {"rank", personal.rank},
                          {"examples", personal.examples},
                          {"steps", outcome.steps},
                          {"loss_without", personal.loss_without},
                          {"loss_with", personal.loss_with},
                          {"loss_with_present", nullptr},
                          {"kept", outcome.better}};
  if (outcome.loss_with_present.has_value()) facts["loss_with_present"] = *outcome.loss_with_present;
  PrintJson(facts);
}

}  // namespace

absl::Status TrainPersonalVerb(const VerbContext& context, const std::string& trainer, StopSignal& stop) {
  const DeviceFolder& folder = context.folder;
  ASSIGN_OR_RETURN(const ClientSettings settings, LoadSettings(folder.settings()));
  if (!settings.personal.has_value()) {
    return absl::FailedPreconditionError("no personal adapter is wished for: put [personal] into " + folder.settings());
  }
  RETURN_IF_ERROR(LoadIdentity(folder).status());
  ASSIGN_OR_RETURN(const DaemonLock turn, TakeTurn(folder));
  RETURN_IF_ERROR(CheckDaemonTrainsNothing(folder));
  const SystemClock clock;
  ASSIGN_OR_RETURN(ExampleStore examples, ExampleStore::Open(folder.root, clock));
  PersonalShelf shelf(folder.root, &examples);
  RETURN_IF_ERROR(shelf.Begin());
  ASSIGN_OR_RETURN(const PersonalInputs inputs, Gather(context, settings, examples, clock));
  Progress progress;
  ASSIGN_OR_RETURN(const PersonalOutcome outcome,
                   TrainPersonal(inputs, {.program = trainer, .niceness = settings.trainer_niceness},
                                 {.stop = [&stop](int fd) { return stop.Wait(fd < 0 ? kLook * 0 : kLook, fd); },
                                  .progress = [&progress](const TrainingProgress& now) { progress.Tell(now); }}));
  if (outcome.better) RETURN_IF_ERROR(shelf.Keep(outcome.adapter));
  RETURN_IF_ERROR(Audit(folder, clock, Words(outcome)));
  Print(outcome, context.json);
  return absl::OkStatus();
}

absl::Status PersonalStatusVerb(const VerbContext& context) {
  const nlohmann::json facts = PersonalFacts(context.folder);
  if (context.json) {
    PrintJson({{"personal", facts}});
    return absl::OkStatus();
  }
  if (facts.empty()) PrintLine("no personal adapter on this device: fleetune-client personal train");
  for (const nlohmann::json& personal : facts) PrintLine(personal["words"].get<std::string>());
  return absl::OkStatus();
}

absl::Status DropPersonalVerb(const VerbContext& context) {
  RETURN_IF_ERROR(LoadIdentity(context.folder).status());
  ASSIGN_OR_RETURN(const DaemonLock turn, TakeTurn(context.folder));
  ASSIGN_OR_RETURN(const uint32_t dropped, PersonalShelf::DeleteAll(context.folder.root));
  if (dropped > 0) RETURN_IF_ERROR(Audit(context.folder, SystemClock(), "the personal adapter was deleted"));
  if (context.json) {
    PrintJson({{"dropped", dropped}});
  } else {
    PrintLine(dropped > 0 ? "the personal adapter is deleted; prompts are answered with the fleet's alone"
                          : "no personal adapter on this device");
  }
  return absl::OkStatus();
}

}  // namespace fleetune
