#include "client/app/step_performer.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "client/app/base_model.h"
#include "client/update/plan_check.h"
#include "client/update/version_fetch.h"
#include "lora/plan/control_variates.h"
#include "lora/records/record.h"

namespace fleetune {
namespace {
// 8 MB: a slice of a download between two looks at trainer, owner and signals.
constexpr uint32_t kPartsAStep = 32;
}  // namespace

std::optional<AgentEvent> StepPerformer::Perform(const AgentStep& step, const CheckInReport& report) {
  struct Visitor {
    StepPerformer& self;
    const CheckInReport& report;
    std::optional<AgentEvent> operator()(const WaitUntil&) { return std::nullopt; }
    std::optional<AgentEvent> operator()(const CheckInNow&) { return self.CheckIn(report); }
    std::optional<AgentEvent> operator()(const FetchBaseModel& s) { return self.Fetch(s); }
    std::optional<AgentEvent> operator()(const BringAdapter& s) { return self.Bring(s); }
    std::optional<AgentEvent> operator()(const ExamineTask& s) { return self.Examine(s); }
    std::optional<AgentEvent> operator()(const BringControl& s) { return self.Bring(s); }
    std::optional<AgentEvent> operator()(const TrainRound& s) { return self.Train(s); }
    std::optional<AgentEvent> operator()(const TakeCellSeat& s) { return self.ports_.cells->TakeSeat(s); }
    std::optional<AgentEvent> operator()(const ExchangeInCell& s) { return self.ports_.cells->Exchange(s); }
    std::optional<AgentEvent> operator()(const OpenRoundUpload& s) { return self.Open(s); }
    std::optional<AgentEvent> operator()(const SendChunk& s) { return self.Send(s); }
    std::optional<AgentEvent> operator()(const CommitRoundUpload& s) { return self.Commit(s); }
    std::optional<AgentEvent> operator()(const TellDecline& s) { return self.Tell(s); }
  };
  return std::visit(Visitor{*this, report}, step);
}

AgentEvent StepPerformer::CheckIn(const CheckInReport& report) {
  absl::StatusOr<CheckInReply> reply = ports_.link->CheckIn(report);
  if (!reply.ok()) return StepFailed{reply.status()};
  CheckInAnswered answered{.next_check_in = reply->next_check_in, .tasks = {}, .invitation = reply->invitation};
  for (const SignedOffer& offer : reply->offers) {
    absl::StatusOr<KnownTask> task = VerifyOffer(offer, settings_.release_key);
    if (task.ok()) {
      answered.tasks.push_back(*std::move(task));
    } else {
      settings_.warn("a task is ignored: " + std::string(task.status().message()));
    }
  }
  return answered;
}

AgentEvent StepPerformer::Fetch(const FetchBaseModel& step) {
  absl::StatusOr<bool> done = ports_.models->Fetch(step.sha256, kPartsAStep, *ports_.link);
  if (!done.ok()) return StepFailed{done.status()};
  if (!*done) return StepProgressed{};
  return ModelReady{step.sha256};
}

AgentEvent StepPerformer::Bring(const BringAdapter& step) {
  absl::StatusOr<ModelFootprint> model = Footprint(step.plan.base);
  if (!model.ok()) return StepFailed{model.status()};
  absl::StatusOr<bool> done =
      FetchVersion({.plan = step.plan, .version = step.version, .sizes = model->sizes},
                   {.downloads = settings_.downloads, .most_parts = kPartsAStep}, settings_.release_key,
                   *ports_.adapters, *ports_.link);
  if (!done.ok()) return StepFailed{done.status()};
  if (!*done) return StepProgressed{};
  if (step.serve) {
    if (absl::Status served = ports_.adapters->Serve(step.version); !served.ok()) return StepFailed{served};
  }
  return AdapterReady{step.version};
}

AgentEvent StepPerformer::Examine(const ExamineTask& step) {
  absl::StatusOr<ModelFootprint> model = Footprint(step.plan.base);
  if (!model.ok()) return StepFailed{model.status()};
  absl::StatusOr<uint64_t> examples = ports_.examples->Count(step.plan.data_tag);
  if (!examples.ok()) return StepFailed{examples.status()};
  const TrainingPlan& plan = step.plan;
  const absl::StatusOr<AdapterSpec> adapter = AdapterSpec::Create(AdapterOptionsOf(plan), model->sizes);
  if (!adapter.ok()) return StepFailed{adapter.status()};
  absl::Status affordable = ports_.books->CanAfford(plan, adapter->b_size());
  if (absl::IsUnavailable(affordable)) return StepFailed{affordable};
  return TaskExamined{.task = plan.task, .model = *model, .examples = *examples, .affordable = std::move(affordable)};
}

AgentEvent StepPerformer::Bring(const BringControl& step) {
  if (!control_.has_value() || control_->round() != step.order.round) {
    absl::StatusOr<ModelFootprint> model = Footprint(step.plan.base);
    if (!model.ok()) return StepFailed{model.status()};
    const absl::StatusOr<AdapterSpec> spec = AdapterSpec::Create(AdapterOptionsOf(step.plan), model->sizes);
    if (!spec.ok()) return StepFailed{spec.status()};
    control_.emplace(step.order.round, FloatsOf(*spec, TrainedFactors(step.plan.trained, step.order.version)));
  }
  const absl::StatusOr<bool> done = control_->Fetch(kPartsAStep, *ports_.link);
  if (!done.ok()) return StepFailed{done.status()};
  if (!*done) return StepProgressed{};
  return ControlReady{step.order.round};
}

std::optional<AgentEvent> StepPerformer::Train(const TrainRound& step) {
  const ServedVersion version{step.order.task, step.order.version, step.order.version_hash};
  absl::StatusOr<std::string> path = ports_.models->Path(step.plan.base);
  absl::StatusOr<ModelFootprint> model = Footprint(step.plan.base);
  if (!path.ok() || !model.ok()) {
    ports_.models->Forget(step.plan.base);  // else Fetch would take it for being here
    return ModelLost{step.plan.base};
  }
  absl::StatusOr<StoredVersion> stored = ports_.adapters->Load(version);
  if (!stored.ok()) return AdapterLost{step.order.task};
  absl::StatusOr<Adapter> before = RebuildAdapter(*stored, model->sizes);
  if (!before.ok()) return AdapterLost{step.order.task};
  if (absl::Status begun = Begin(step, *path, *std::move(before)); !begun.ok()) return AttemptFailed{begun};
  return std::nullopt;
}

absl::Status StepPerformer::Begin(const TrainRound& step, const std::string& model_path, Adapter before) {
  TrainingInputs inputs{.order = step,
                        .plan_text = FormatTrainingPlan(step.plan),
                        .model_path = model_path,
                        .before = std::move(before),
                        .records = {},
                        .threads = settings_.threads,
                        .trainer = settings_.trainer,
                        .checkpoint_steps = settings_.checkpoint_steps};
  ASSIGN_OR_RETURN(inputs.checkpoint, ports_.checkpoints->Begin(step.order.round));
  if (step.plan.train.control_variates) RETURN_IF_ERROR(PutControl(step, inputs));
  ASSIGN_OR_RETURN(inputs.records, Records(step.plan.data_tag));
  ASSIGN_OR_RETURN(inputs.held_out_secret, ports_.examples->HeldOutSecret());
  ASSIGN_OR_RETURN(run_, TrainingRun::Start(std::move(inputs), {.payloads = ports_.payloads,
                                                                .checkpoints = ports_.checkpoints,
                                                                .random = ports_.random,
                                                                .controls = ports_.controls}));
  return absl::OkStatus();
}

absl::Status StepPerformer::PutControl(const TrainRound& step, TrainingInputs& inputs) {
  if (!control_.has_value() || !control_->done() || control_->round() != step.order.round) {
    return absl::UnavailableError("the server's control variates must be brought again");
  }
  const AdapterSpec& spec = inputs.before.spec();
  const Factors factors = TrainedFactors(step.plan.trained, step.order.version);
  ASSIGN_OR_RETURN(const std::vector<float> server, ReadServerControl(control_->bytes(), FloatsOf(spec, factors)));
  ASSIGN_OR_RETURN(inputs.control, ports_.controls->Begin({.task = step.order.task,
                                                           .base = step.plan.base,
                                                           .a_size = spec.a_size(),
                                                           .b_size = spec.b_size()}));
  inputs.correction = GradientCorrection(server, ControlOf(inputs.control, spec, factors));
  return absl::OkStatus();
}

AgentEvent StepPerformer::Open(const OpenRoundUpload& step) {
  payload_.reset();
  absl::StatusOr<Bytes> bytes = ports_.payloads->Get(step.sha256);
  if (absl::IsNotFound(bytes.status()) || absl::IsDataLoss(bytes.status())) {
    return PayloadLost{.sha256 = step.sha256, .status = bytes.status()};
  }
  if (!bytes.ok()) return StepFailed{absl::UnavailableError(std::string(bytes.status().message()))};
  absl::StatusOr<OpenedUpload> opened = ports_.link->OpenUpload(step.round, step.size, step.sha256);
  if (!opened.ok()) return StepFailed{opened.status()};
  payload_ = {step.sha256, *std::move(bytes)};
  return UploadOpened{.chunk_bytes = opened->chunk_bytes,
                      .missing_chunks = opened->missing_chunks,
                      .committed = opened->committed};
}

AgentEvent StepPerformer::Send(const SendChunk& step) {
  const uint64_t from = uint64_t{step.index} * step.chunk_bytes;
  if (!payload_.has_value() || payload_->first != step.sha256 || from >= payload_->second.size()) {
    return StepFailed{absl::UnavailableError("the upload must be opened again")};
  }
  const std::span<const uint8_t> bytes = payload_->second;
  const uint64_t size = std::min<uint64_t>(step.chunk_bytes, bytes.size() - from);
  const absl::Status sent = ports_.link->PutUploadChunk(step.round, step.index, bytes.subspan(from, size));
  if (!sent.ok()) return StepFailed{sent};
  return ChunkStored{step.index};
}

AgentEvent StepPerformer::Commit(const CommitRoundUpload& step) {
  const absl::Status committed = ports_.link->CommitUpload(step.round, step.sha256);
  if (!committed.ok()) return StepFailed{committed};
  payload_.reset();
  return UpdateCounted{};
}

AgentEvent StepPerformer::Tell(const TellDecline& step) {
  const absl::Status told = ports_.link->DeclineRound(step.notice.round, step.notice.reason);
  if (!told.ok()) return StepFailed{told};
  return DeclineHeard{};
}

absl::StatusOr<ModelFootprint> StepPerformer::Footprint(const Digest& model) {
  if (footprint_.has_value() && footprint_->first == model) return footprint_->second;
  ASSIGN_OR_RETURN(std::string path, ports_.models->Path(model));
  ASSIGN_OR_RETURN(ModelFootprint footprint, ReadFootprint(path));
  footprint_ = {model, footprint};
  return footprint;
}

absl::StatusOr<std::vector<std::string>> StepPerformer::Records(const std::string& tag) {
  ASSIGN_OR_RETURN(std::vector<Record> records, ports_.examples->Read(tag));
  std::vector<std::string> lines;
  lines.reserve(records.size());
  for (const Record& record : records) lines.push_back(FormatRecord(record));
  return lines;
}

}  // namespace fleetune
