#include "client/app/daemon.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "base/crypto/aes_instructions.h"
#include "base/crypto/certificate.h"
#include "base/crypto/random.h"
#include "base/status_macros.h"
#include "client/app/daemon_lock.h"
#include "client/app/device_api.h"
#include "client/app/payload_files.h"
#include "client/app/privacy_words.h"
#include "client/app/state_store.h"
#include "client/app/step_performer.h"
#include "client/data/audit_log.h"
#include "client/data/checkpoint_files.h"
#include "client/data/control_files.h"
#include "client/data/example_store.h"
#include "client/governor/machine_readings.h"
#include "client/transport/device_channel.h"

namespace fleetune {
namespace {

using std::chrono::milliseconds;

// How often a waiting daemon looks at its owner's wishes and the machine; a pause takes effect within it.
constexpr milliseconds kLook{250};
// Memory that comes and goes by less than this changes no decision.
constexpr uint64_t kMemoryStep = 64'000'000;

std::string Words(const absl::Status& status) { return std::string(status.message()); }

// The stores of a running daemon.
struct DaemonStores {
  StateStore state;
  ExampleStore examples;
  DeviceAuditLog audit;
  PayloadFiles payloads;
  AdapterShelf adapters;
  ModelShelf models;

  static absl::StatusOr<DaemonStores> Open(const DaemonOptions& options, const SigningKey& identity,
                                           const Clock& clock) {
    const DeviceFolder& folder = options.folder;
    ASSIGN_OR_RETURN(StateStore state, StateStore::Open(folder.state()));
    ASSIGN_OR_RETURN(ExampleStore examples, ExampleStore::Open(folder.root, clock));
    ASSIGN_OR_RETURN(DeviceAuditLog audit, DeviceAuditLog::Open(folder.root));
    std::vector<std::string> problems;
    ASSIGN_OR_RETURN(ModelShelf models, ModelShelf::Open(folder.models(), options.settings.models, problems));
    for (const std::string& problem : problems) spdlog::warn("{}", problem);
    return DaemonStores{.state = std::move(state),
                        .examples = std::move(examples),
                        .audit = std::move(audit),
                        .payloads = PayloadFiles(folder.uploads(), PayloadKey(identity)),
                        .adapters = AdapterShelf(folder.adapters()),
                        .models = std::move(models)};
  }
};

// What a daemon starts with.
struct DaemonParts {
  DeviceIdentity identity;
  Bytes certificate;  // DER
  DeviceCertificateVerifier neighbours;
  DeviceBudget budget;
  VerifyKey release_key;
  DeviceState state;
  std::unique_ptr<DeviceApi> api;  // null: the owner wants none
};

class Daemon {
 public:
  Daemon(const DaemonOptions& options, const Clock& clock, StopSignal& stop, DaemonStores& stores, DaemonParts parts)
      : options_(options), clock_(clock), stop_(stop), identity_(std::move(parts.identity)),
        neighbours_(std::move(parts.neighbours)), budget_(std::move(parts.budget)), stores_(stores), link_(Connect()),
        checkpoints_(options.folder.root, &stores.examples), controls_(options.folder.root, &stores.examples),
        saved_(parts.state), agent_(std::move(parts.state), OptionsOf(options.settings), &random_),
        books_(&stores.state, &clock, options.settings.privacy.limit), api_(std::move(parts.api)),
        cells_({.link = link_.get(), .payloads = &stores.payloads, .random = &random_, .books = &books_},
               {.release_key = parts.release_key,
                .policy = options.settings.privacy.session,
                .identity = {.device = identity_.device_id,
                             .certificate = std::move(parts.certificate),
                             .key = &identity_.identity_key,
                             .aes_instructions = HasAesInstructions()},
                .verify_peer = [this](std::span<const uint8_t> der) { return VerifyPeer(der); }}),
        performer_({.link = link_.get(),
                    .examples = &stores.examples,
                    .payloads = &stores.payloads,
                    .checkpoints = &checkpoints_,
                    .controls = &controls_,
                    .adapters = &stores.adapters,
                    .models = &stores.models,
                    .random = &random_,
                    .cells = &cells_,
                    .books = &books_},
                   {.downloads = options.folder.downloads(),
                    .trainer = {.program = options.trainer, .niceness = options.settings.trainer_niceness},
                    .threads = budget_.threads,
                    .checkpoint_steps = options.settings.checkpoint_steps,
                    .release_key = parts.release_key,
                    .warn = [](const std::string& text) { spdlog::warn("{}", text); }}) {}

  absl::Status Run() {
    ASSIGN_OR_RETURN(conditions_, ReadConditions());
    ASSIGN_OR_RETURN(beat_, stores_.state.ReadHeartbeat());
    RETURN_IF_ERROR(KeepWhatIsWanted());
    std::vector<AgentEvent> events = {Started()};
    RefreshApi();
    while (!stop_.Wait(milliseconds(0))) {
      const AgentDecision decision = agent_.Apply(events, clock_.Now());
      RETURN_IF_ERROR(CarryOut(decision));
      events.clear();
      if (const auto* wait = std::get_if<WaitUntil>(&decision.step)) {
        RETURN_IF_ERROR(Wait(wait->time, events));
        continue;
      }
      RenewIfDue(decision.step);
      RETURN_IF_ERROR(Beat(PhaseOf(decision.step)));
      std::optional<AgentEvent> event = performer_.Perform(decision.step, Report());
      if (event.has_value()) Note(*event, events);
      RETURN_IF_ERROR(Look(events));
    }
    const AgentEvent stopping = AgentStopping{};
    RETURN_IF_ERROR(CarryOut(agent_.Apply(stopping, clock_.Now())));
    spdlog::info("stopped");
    return Beat("stopped");
  }

 private:
  std::unique_ptr<CoordinatorLink> Connect() const {
    return ConnectDevice({.host = identity_.host,
                          .port = identity_.port,
                          .ca_pem = identity_.ca_pem,
                          .key_pem = identity_.key_pem,
                          .certificate_pem = identity_.certificate_pem});
  }

  static AgentOptions OptionsOf(const ClientSettings& settings) {
    AgentOptions options;
    options.privacy = settings.privacy;
    options.largest_rank = settings.largest_rank;
    return options;
  }

  absl::StatusOr<secagg::VerifiedPeer> VerifyPeer(std::span<const uint8_t> der) const {
    ASSIGN_OR_RETURN(const PeerIdentity peer, neighbours_.Verify(der, clock_.Now()));
    return secagg::VerifiedPeer{.device = peer.name, .identity = *peer.identity_key};
  }

  AgentEvent Started() {
    AgentStarted started{.served = {}, .models = stores_.models.models(), .conditions = conditions_};
    for (const StoredVersion& stored : stores_.adapters.Serving()) started.served.push_back(stored.version);
    spdlog::info("started device={} name={} profile={} memory_mb={} threads={} models={} adapters={}",
                 identity_.device_id, identity_.name, budget_.profile, budget_.memory_bytes / 1'000'000, budget_.threads,
                 started.models.size(), started.served.size());
    served_ = started.served;
    return started;
  }

  absl::StatusOr<DeviceConditions> ReadConditions() {
    DeviceConditions conditions;
    ASSIGN_OR_RETURN(conditions.paused, stores_.state.IsPaused());
    GovernorLimits limits = options_.settings.governor;
    limits.max_memory_bytes = budget_.memory_bytes;
    MachineReadings readings = ReadMachine({}, clock_.Now());
    if (performer_.run() != nullptr) readings.training_bytes = performer_.run()->memory_bytes();
    const TrainingPermission permission = MayTrain(readings, limits);
    conditions.may_train = permission.allowed;
    conditions.memory_is_short = permission.memory_is_short;
    conditions.reason = conditions.paused ? "paused by the owner" : permission.reason;
    // The reason goes to the coordinator, which is not told what for.
    if (conditions.may_train && DaemonLock::IsHeld(options_.folder.personal_lock())) {
      conditions.may_train = false;
      conditions.reason = "the owner needs the device";
    }
    conditions.memory_bytes = TrainingMemoryBytes(readings, limits);
    return conditions;
  }

  // In the order that AgentDecision prescribes.
  absl::Status CarryOut(const AgentDecision& decision) {
    for (const std::string& note : decision.notes) {
      spdlog::info("{}", note);
      RETURN_IF_ERROR(Audit(note));
    }
    for (const std::string& remark : decision.remarks) spdlog::info("{}", remark);
    // Before the state forgets that it was to be done. If this is repeated, it changes nothing.
    if (decision.counted.has_value()) {
      RETURN_IF_ERROR(controls_.Accept(decision.counted->task, decision.counted->round));
    }
    if (agent_.state() != saved_) {
      RETURN_IF_ERROR(stores_.state.Save(agent_.state()));
      saved_ = agent_.state();
      RETURN_IF_ERROR(stores_.payloads.KeepOnly(PayloadsOf(saved_)));
      RETURN_IF_ERROR(KeepWhatIsWanted());
    }
    if (decision.stop_training) performer_.EndRun();
    if (performer_.run() != nullptr) performer_.run()->Hold(decision.hold_training);
    return absl::OkStatus();
  }

  // A round that has its update, or is over, needs no checkpoint; and only an update needs what it proposed.
  absl::Status KeepWhatIsWanted() {
    RETURN_IF_ERROR(checkpoints_.KeepOnly(saved_.work.has_value() ? saved_.work->order.round : ""));
    return controls_.KeepProposal(saved_.pending.has_value() ? saved_.pending->order.round : "");
  }

  absl::Status Audit(const std::string& text) {
    const bool leaves = text.starts_with("sending");
    const std::optional<PendingUpdate>& pending = agent_.state().pending;
    uint64_t bytes = leaves && pending.has_value() ? pending->size : 0;
    if (bytes > 0 && pending->seat.has_value() && pending->seat->masked.has_value()) bytes = pending->seat->masked->size;
    return stores_.audit
        .Append({.time = clock_.Now(),
                 .direction = leaves ? AuditDirection::kLeft : AuditDirection::kLocal,
                 .bytes = bytes,
                 .text = text.substr(0, kMaxAuditTextBytes)})
        .status();
  }

  bool IsSeated() const {
    return agent_.state().pending.has_value() && agent_.state().pending->seat.has_value();
  }

  // Until `time`, or the trainer, the owner or the machine has something to say.
  absl::Status Wait(TimePoint time, std::vector<AgentEvent>& events) {
    RETURN_IF_ERROR(Beat(conditions_.paused ? "paused" : offline_ ? "offline" : IsSeated() ? "averaging" : "idle"));
    for (;;) {
      const TimePoint now = clock_.Now();
      const milliseconds left = std::max(milliseconds(0), std::min<milliseconds>(time - now, kLook));
      TrainingRun* run = performer_.run();
      const bool stopping = stop_.Wait(left, run != nullptr ? run->fd() : -1);
      RETURN_IF_ERROR(LookAtTraining(events));
      const auto since = clock_.Now() - looked_;
      if (since >= kLook || since < milliseconds(0)) RETURN_IF_ERROR(LookAtConditions(events));
      if (stopping || !events.empty()) return absl::OkStatus();
      if (clock_.Now() >= time) {
        events.push_back(Woke{});
        return absl::OkStatus();
      }
    }
  }

  // What happened meanwhile.
  absl::Status Look(std::vector<AgentEvent>& events) {
    RETURN_IF_ERROR(LookAtTraining(events));
    return LookAtConditions(events);
  }

  absl::Status LookAtTraining(std::vector<AgentEvent>& events) {
    TrainingRun* run = performer_.run();
    if (run == nullptr) return absl::OkStatus();
    std::optional<AgentEvent> end = run->Poll(milliseconds(0));
    const std::vector<std::string> news = run->TakeNews();
    for (const std::string& one : news) spdlog::info("training round={} {}", run->order().order.round, one);
    const bool kept = run->TakeKept();
    if (kept) events.push_back(CheckpointKept{});
    if (end.has_value()) {
      performer_.EndRun();
      events.push_back(*std::move(end));
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(TellProgress(*run));
    return kept || !news.empty() ? Beat("training") : absl::OkStatus();
  }

  absl::Status LookAtConditions(std::vector<AgentEvent>& events) {
    looked_ = clock_.Now();
    ASSIGN_OR_RETURN(DeviceConditions now, ReadConditions());
    const uint64_t difference = now.memory_bytes > conditions_.memory_bytes ? now.memory_bytes - conditions_.memory_bytes
                                                                            : conditions_.memory_bytes - now.memory_bytes;
    const bool changed = now.paused != conditions_.paused || now.may_train != conditions_.may_train ||
                         now.memory_is_short != conditions_.memory_is_short ||
                         now.may_transfer != conditions_.may_transfer || difference > kMemoryStep;
    if (!changed) return absl::OkStatus();
    if (now.paused != conditions_.paused) spdlog::info("{}", now.paused ? "paused" : "resumed");
    conditions_ = now;
    events.push_back(ConditionsChanged{now});
    return absl::OkStatus();
  }

  // About ten times a training.
  absl::Status TellProgress(const TrainingRun& run) {
    const TrainingProgress& progress = run.progress();
    if (progress.step == 0 || progress.steps == 0) return absl::OkStatus();
    const uint32_t tenth = 10 * progress.step / progress.steps;
    if (progress.step != 1 && tenth == told_tenth_) return absl::OkStatus();
    if (progress.step == told_step_) return absl::OkStatus();
    told_tenth_ = tenth;
    told_step_ = progress.step;
    spdlog::info("training round={} step={} of={} loss={:.4f} tokens={}", run.order().order.round, progress.step,
                 progress.steps, progress.loss, progress.tokens);
    return Beat("training");
  }

  // What an event tells for the log and for `status`.
  void Note(const AgentEvent& event, std::vector<AgentEvent>& events) {
    events.push_back(event);
    if (const auto* answered = std::get_if<CheckInAnswered>(&event)) {
      offline_ = false;
      beat_.last_check_in = clock_.Now();
      beat_.next_check_in = clock_.Now() + answered->next_check_in;
      NoteTasks(answered->tasks);
      if (answered->invitation.has_value()) {
        spdlog::debug("invited round={} task={} version={}", answered->invitation->round, answered->invitation->task,
                      answered->invitation->version);
      }
    } else if (const auto* failed = std::get_if<StepFailed>(&event)) {
      offline_ = absl::IsUnavailable(failed->status) || absl::IsDeadlineExceeded(failed->status);
    } else if (const auto* ready = std::get_if<AdapterReady>(&event)) {
      NoteAdapter(ready->version);
    } else if (const auto* model = std::get_if<ModelReady>(&event)) {
      spdlog::info("base model {} is here", model->sha256.ToHex());
      RefreshApi();
    }
  }

  // What it cannot serve now it may after the next change.
  void RefreshApi() {
    if (api_ == nullptr) return;
    const absl::StatusOr<std::vector<std::string>> news = api_->Refresh(stores_.adapters, stores_.models);
    if (!news.ok()) return spdlog::warn("api: {}", Words(news.status()));
    for (const std::string& one : *news) spdlog::info("{}", one);
  }

  void NoteTasks(const std::vector<KnownTask>& known) {
    std::vector<TaskPrivacy> tasks;
    std::vector<std::string> names;
    for (const KnownTask& task : known) {
      names.push_back(task.plan.task);
      tasks.push_back({.task = task.plan.task, .secure = task.plan.secure, .privacy = task.plan.privacy});
    }
    const absl::Status noted = controls_.NoteOffered(names, clock_.Now());
    if (!noted.ok()) spdlog::warn("control variates: {}", Words(noted));
    if (tasks == tasks_) return;
    const absl::Status written = stores_.state.WriteTasks(tasks);
    if (!written.ok()) return spdlog::warn("tasks: {}", Words(written));
    for (const TaskPrivacy& task : tasks) {
      spdlog::info("updates of task {} are {}; {}", task.task, MaskWords(task.secure), NoiseWords(task.privacy));
    }
    tasks_ = std::move(tasks);
  }

  void NoteAdapter(const ServedVersion& version) {
    absl::StatusOr<StoredVersion> serving = stores_.adapters.Serving(version.task);
    if (!serving.ok() || serving->version != version) return;
    std::erase_if(served_, [&version](const ServedVersion& held) { return held.task == version.task; });
    served_.push_back(version);
    RefreshApi();
    spdlog::info("adapter task={} version={} hash={} answers now", version.task, version.version, version.hash.ToHex());
    const absl::Status status =
        stores_.audit
            .Append({.time = clock_.Now(),
                     .direction = version.version == 0 ? AuditDirection::kLocal : AuditDirection::kCame,
                     .bytes = 0,
                     .text = fmt::format("prompts are answered with version {} of the adapter of task {} from now on",
                                         version.version, version.task)})
            .status();
    if (!status.ok()) spdlog::warn("audit log: {}", Words(status));
  }

  CheckInReport Report() {
    CheckInReport report{.software_version = kClientVersion,
                         .profile = budget_.profile,
                         .memory_budget_bytes = conditions_.memory_bytes,
                         .ready_to_train = !conditions_.paused && conditions_.may_train,
                         .not_ready_reason = conditions_.may_train ? "" : conditions_.reason,
                         .versions = served_,
                         .examples = {},
                         .models = stores_.models.models()};
    absl::StatusOr<std::vector<TagStats>> stats = stores_.examples.Stats();
    if (!stats.ok()) {
      report.ready_to_train = false;
      report.not_ready_reason = "the examples cannot be read";
      spdlog::warn("examples: {}", Words(stats.status()));
      return report;
    }
    for (const TagStats& tag : *stats) report.examples.push_back({.tag = tag.tag, .examples = tag.examples});
    return report;
  }

  // Before a check-in, because the coordinator was reached then or is about to be.
  void RenewIfDue(const AgentStep& step) {
    if (!std::holds_alternative<CheckInNow>(step)) return;
    absl::StatusOr<PeerIdentity> certificate = ReadIdentity(identity_.certificate_pem);
    if (!certificate.ok() || !RenewalIsDue(identity_.certificate_since, certificate->not_after, clock_.Now())) return;
    const absl::Status renewed = Renew();
    if (renewed.ok()) {
      spdlog::info("certificate renewed");
    } else {
      spdlog::warn("certificate not renewed: {}", Words(renewed));
    }
  }

  absl::Status Renew() {
    const VerifyKey identity_key = identity_.identity_key.verify_key();
    ASSIGN_OR_RETURN(KeyAndRequest request, MakeCertificateRequest(identity_key));
    ASSIGN_OR_RETURN(std::string certificate, link_->RenewCertificate(request.request_pem));
    RETURN_IF_ERROR(CheckOwnCertificate(certificate, identity_.ca_pem,
                                        {.device_id = identity_.device_id, .identity_key = identity_key}, clock_.Now()));
    RETURN_IF_ERROR(ReplaceCertificate(options_.folder, request.key_pem, certificate, clock_.Now(), identity_));
    ASSIGN_OR_RETURN(Bytes der, CertificateDer(certificate));
    link_ = Connect();
    performer_.UseLink(link_.get());
    cells_.UseLink(link_.get());
    cells_.UseCertificate(std::move(der));
    return absl::OkStatus();
  }

  static const char* PhaseOf(const AgentStep& step) {
    if (std::holds_alternative<CheckInNow>(step)) return "checking in";
    if (std::holds_alternative<FetchBaseModel>(step) || std::holds_alternative<BringAdapter>(step) ||
        std::holds_alternative<BringControl>(step)) {
      return "downloading";
    }
    if (std::holds_alternative<ExamineTask>(step)) return "idle";
    if (std::holds_alternative<TakeCellSeat>(step) || std::holds_alternative<ExchangeInCell>(step)) return "averaging";
    if (std::holds_alternative<TrainRound>(step)) return "training";
    return "uploading";
  }

  absl::Status Beat(const std::string& phase) {
    const bool waits = performer_.run() != nullptr && performer_.run()->paused();
    beat_.phase = !agent_.training() ? phase : waits ? "paused" : "training";
    beat_.detail = DetailOf(beat_.phase);
    if (beat_ == told_) return absl::OkStatus();
    told_ = beat_;
    Heartbeat heartbeat = beat_;
    heartbeat.time = clock_.Now();
    return stores_.state.WriteHeartbeat(heartbeat);
  }

  std::string DetailOf(const std::string& phase) {
    if ((phase == "training" || phase == "paused") && performer_.run() != nullptr) {
      const TrainingProgress& progress = performer_.run()->progress();
      const std::string steps = progress.steps > 0 ? fmt::format(" of {}", progress.steps) : "";
      return fmt::format("round {}, step {}{}{}", performer_.run()->order().order.round, progress.step, steps,
                         phase == "paused" ? ": " + conditions_.reason : "");
    }
    if (phase == "averaging" && IsSeated()) return fmt::format("cell {}", agent_.state().pending->seat->cell);
    if (phase == "uploading" && agent_.state().pending.has_value()) {
      return fmt::format("round {}", agent_.state().pending->order.round);
    }
    return conditions_.reason;
  }

  const DaemonOptions& options_;
  const Clock& clock_;
  StopSignal& stop_;
  DeviceIdentity identity_;
  const DeviceCertificateVerifier neighbours_;
  const DeviceBudget budget_;
  DaemonStores& stores_;
  SecureRandom random_;
  std::unique_ptr<CoordinatorLink> link_;
  CheckpointFiles checkpoints_;
  ControlFiles controls_;
  DeviceState saved_;  // as it is on the disk
  Agent agent_;
  PrivacyBooks books_;
  const std::unique_ptr<DeviceApi> api_;
  CellPerformer cells_;
  StepPerformer performer_;
  DeviceConditions conditions_;
  TimePoint looked_;  // at them
  std::vector<ServedVersion> served_;
  std::vector<TaskPrivacy> tasks_;
  bool offline_ = false;
  uint32_t told_tenth_ = 0;
  uint32_t told_step_ = 0;
  Heartbeat beat_;
  Heartbeat told_;
};

}  // namespace

absl::Status RunDaemon(const DaemonOptions& options, const Clock& clock, StopSignal& stop) {
  ASSIGN_OR_RETURN(DeviceIdentity identity, LoadIdentity(options.folder));
  ASSIGN_OR_RETURN(DaemonLock lock, DaemonLock::Take(options.folder.lock()));
  ASSIGN_OR_RETURN(DeviceBudget budget, BudgetOf(options.settings, identity.profile));
  RETURN_IF_ERROR(Validate(options.settings.governor));
  ASSIGN_OR_RETURN(VerifyKey release_key, VerifyKey::FromRaw(identity.release_key));
  ASSIGN_OR_RETURN(Bytes certificate, CertificateDer(identity.certificate_pem));
  ASSIGN_OR_RETURN(DeviceCertificateVerifier neighbours, DeviceCertificateVerifier::Create(identity.ca_pem));
  ASSIGN_OR_RETURN(DaemonStores stores, DaemonStores::Open(options, identity.identity_key, clock));
  ASSIGN_OR_RETURN(DeviceState state, stores.state.Load());
  std::unique_ptr<DeviceApi> api;
  if (!options.settings.api.listen.empty()) {
    ASSIGN_OR_RETURN(api, DeviceApi::Create(options.folder, options.settings.api, clock));
  }
  Daemon daemon(options, clock, stop, stores,
                {.identity = std::move(identity),
                 .certificate = std::move(certificate),
                 .neighbours = std::move(neighbours),
                 .budget = std::move(budget),
                 .release_key = release_key,
                 .state = std::move(state),
                 .api = std::move(api)});
  return daemon.Run();
}

}  // namespace fleetune
