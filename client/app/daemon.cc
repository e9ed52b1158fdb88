#include "client/app/daemon.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "base/crypto/aes_instructions.h"
#include "base/crypto/certificate.h"
#include "base/crypto/random.h"
#include "base/status_macros.h"
#include "client/app/certificate_renewal.h"
#include "client/app/check_in_report.h"
#include "client/app/conditions_watch.h"
#include "client/app/daemon_heart.h"
#include "client/app/daemon_lock.h"
#include "client/app/daemon_stores.h"
#include "client/app/owner_news.h"
#include "client/app/serving_watch.h"
#include "client/app/step_performer.h"
#include "client/data/checkpoint_files.h"
#include "client/data/control_files.h"
#include "client/transport/device_channel.h"

namespace fleetune {
namespace {

using std::chrono::milliseconds;

std::string Words(const absl::Status& status) { return std::string(status.message()); }

// What a daemon starts with.
struct DaemonParts {
  DeviceIdentity identity;
  Bytes certificate;  // DER
  DeviceCertificateVerifier neighbours;
  DeviceBudget budget;
  VerifyKey release_key;
  DeviceState state;
  std::unique_ptr<PromptServer> prompts;  // null: the owner wants none
};

class Daemon {
 public:
  Daemon(const DaemonOptions& options, const Clock& clock, StopSignal& stop, DaemonStores& stores, DaemonParts parts)
      : options_(options), clock_(clock), stop_(stop), identity_(std::move(parts.identity)),
        neighbours_(std::move(parts.neighbours)), budget_(std::move(parts.budget)), stores_(stores),
        heart_(&stores.state, &clock), news_(&stores, &clock),
        conditions_(options.folder, LimitsOf(options.settings, budget_), &stores.state, &clock), link_(Connect()),
        checkpoints_(options.folder.root, &stores.examples), controls_(options.folder.root, &stores.examples),
        saved_(parts.state), agent_(std::move(parts.state), OptionsOf(options.settings), &random_),
        books_(&stores.state, &clock, options.settings.privacy.limit), prompts_(std::move(parts.prompts)),
        serving_({.server = prompts_.get(), .stores = &stores, .clock = &clock, .answer_time = budget_.answer_time}),
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
    RETURN_IF_ERROR(conditions_.Look(/*training_bytes=*/0).status());
    RETURN_IF_ERROR(heart_.Start());
    RETURN_IF_ERROR(KeepWhatIsWanted());
    std::vector<AgentEvent> events = {Started()};
    serving_.Refresh();
    RETURN_IF_ERROR(serving_.Start());
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
      std::optional<AgentEvent> event =
          performer_.Perform(decision.step, ReportOf(budget_, conditions_.now(), served_, stores_));
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

  static GovernorLimits LimitsOf(const ClientSettings& settings, const DeviceBudget& budget) {
    GovernorLimits limits = settings.governor;
    limits.max_memory_bytes = budget.memory_bytes;
    return limits;
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
    AgentStarted started{.served = {}, .models = stores_.models.models(), .conditions = conditions_.now()};
    for (const StoredVersion& stored : stores_.adapters.Serving()) started.served.push_back(stored.version);
    spdlog::info("started device={} name={} profile={} memory_mb={} threads={} models={} adapters={}",
                 identity_.device_id, identity_.name, budget_.profile, budget_.memory_bytes / 1'000'000, budget_.threads,
                 started.models.size(), started.served.size());
    served_ = started.served;
    return started;
  }

  // In the order that AgentDecision prescribes.
  absl::Status CarryOut(const AgentDecision& decision) {
    for (const std::string& note : decision.notes) {
      spdlog::info("{}", note);
      RETURN_IF_ERROR(news_.Audit(note, agent_.state()));
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

  bool IsSeated() const {
    return agent_.state().pending.has_value() && agent_.state().pending->seat.has_value();
  }

  // Until `time`, or the trainer, the owner or the machine has something to say.
  absl::Status Wait(TimePoint time, std::vector<AgentEvent>& events) {
    RETURN_IF_ERROR(Beat(conditions_.now().paused ? "paused" : offline_ ? "offline" : IsSeated() ? "averaging" : "idle"));
    for (;;) {
      const TimePoint now = clock_.Now();
      const milliseconds left = std::max(milliseconds(0), std::min<milliseconds>(time - now, kConditionsLook));
      TrainingRun* run = performer_.run();
      const bool stopping = stop_.Wait(left, run != nullptr ? run->fd() : -1);
      RETURN_IF_ERROR(LookAtTraining(events));
      if (conditions_.IsDue()) RETURN_IF_ERROR(LookAtConditions(events));
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
    const bool told = news_.Tell(*run);
    return told || kept || !news.empty() ? Beat("training") : absl::OkStatus();
  }

  absl::Status LookAtConditions(std::vector<AgentEvent>& events) {
    const bool paused = conditions_.now().paused;
    const uint64_t training_bytes = performer_.run() != nullptr ? performer_.run()->memory_bytes() : 0;
    RETURN_IF_ERROR(serving_.Look(training_bytes));
    ASSIGN_OR_RETURN(const bool changed, conditions_.Look(training_bytes));
    if (!changed) return absl::OkStatus();
    if (conditions_.now().paused != paused) spdlog::info("{}", paused ? "resumed" : "paused");
    events.push_back(ConditionsChanged{conditions_.now()});
    return absl::OkStatus();
  }

  // What an event tells for the log and for `status`.
  void Note(const AgentEvent& event, std::vector<AgentEvent>& events) {
    events.push_back(event);
    if (const auto* answered = std::get_if<CheckInAnswered>(&event)) {
      offline_ = false;
      heart_.CheckedIn(answered->next_check_in);
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
      serving_.Refresh();
    }
  }

  void NoteTasks(const std::vector<KnownTask>& known) {
    std::vector<std::string> names;
    for (const KnownTask& task : known) names.push_back(task.plan.task);
    const absl::Status noted = controls_.NoteOffered(names, clock_.Now());
    if (!noted.ok()) spdlog::warn("control variates: {}", Words(noted));
    news_.Tell(known);
  }

  void NoteAdapter(const ServedVersion& version) {
    absl::StatusOr<StoredVersion> serving = stores_.adapters.Serving(version.task);
    if (!serving.ok() || serving->version != version) return;
    std::erase_if(served_, [&version](const ServedVersion& held) { return held.task == version.task; });
    served_.push_back(version);
    serving_.Refresh();
    news_.Tell(version);
  }

  // Before a check-in, because the coordinator was reached then or is about to be.
  void RenewIfDue(const AgentStep& step) {
    if (!std::holds_alternative<CheckInNow>(step)) return;
    absl::StatusOr<std::optional<Bytes>> renewed = RenewCertificateIfDue(options_.folder, *link_, clock_.Now(), identity_);
    if (!renewed.ok()) return spdlog::warn("certificate not renewed: {}", Words(renewed.status()));
    if (!renewed->has_value()) return;
    link_ = Connect();
    performer_.UseLink(link_.get());
    cells_.UseLink(link_.get());
    cells_.UseCertificate(**std::move(renewed));
    spdlog::info("certificate renewed");
  }

  absl::Status Beat(const std::string& phase) {
    return heart_.Beat(phase, {.agent = agent_, .run = performer_.run(), .reason = conditions_.now().reason});
  }

  const DaemonOptions& options_;
  const Clock& clock_;
  StopSignal& stop_;
  DeviceIdentity identity_;
  const DeviceCertificateVerifier neighbours_;
  const DeviceBudget budget_;
  DaemonStores& stores_;
  DaemonHeart heart_;
  OwnerNews news_;
  ConditionsWatch conditions_;
  SecureRandom random_;
  std::unique_ptr<CoordinatorLink> link_;
  CheckpointFiles checkpoints_;
  ControlFiles controls_;
  DeviceState saved_;  // as it is on the disk
  Agent agent_;
  PrivacyBooks books_;
  const std::unique_ptr<PromptServer> prompts_;
  ServingWatch serving_;
  CellPerformer cells_;
  StepPerformer performer_;
  std::vector<ServedVersion> served_;
  bool offline_ = false;
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
  std::unique_ptr<PromptServer> prompts;
  if (options.prompts) {
    ASSIGN_OR_RETURN(prompts, options.prompts(budget));
  }
  Daemon daemon(options, clock, stop, stores,
                {.identity = std::move(identity),
                 .certificate = std::move(certificate),
                 .neighbours = std::move(neighbours),
                 .budget = std::move(budget),
                 .release_key = release_key,
                 .state = std::move(state),
                 .prompts = std::move(prompts)});
  return daemon.Run();
}

}  // namespace fleetune
