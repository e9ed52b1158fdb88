#include "tools/sim/sim_device.h"

#include <utility>

#include "base/status_macros.h"
#include "lora/adapter/delta.h"
#include "lora/update/adapter_update.h"
#include "tools/sim/upload.h"

namespace fleetune {

using std::chrono::milliseconds;

absl::StatusOr<std::unique_ptr<SimDevice>> SimDevice::Enroll(const Parts& parts) {
  std::unique_ptr<SimDevice> device(new SimDevice(parts, SigningKey::Generate()));
  ASSIGN_OR_RETURN(const Enrollment enrollment,
                   parts.coordinator->Enroll(parts.examples->name, device->key_.verify_key()));
  device->id_ = enrollment.device_id;
  ASSIGN_OR_RETURN(device->certificate_, CertificateDer(enrollment.certificate));
  return device;
}

absl::StatusOr<milliseconds> SimDevice::Act() { return ready_.has_value() ? Send() : CheckIn(); }

absl::StatusOr<milliseconds> SimDevice::CheckIn() {
  DeviceReport report;
  report.software_version = "simulation";
  report.ready_to_train = true;
  report.examples = {{parts_.task->spec.plan.data_tag, parts_.examples->records}};
  report.models = {parts_.task->model.sha256};
  if (adapter_ != nullptr) {
    report.versions = {{.task = parts_.task->spec.plan.task, .version = version_, .hash = hash_}};
  }
  ASSIGN_OR_RETURN(const CheckInAnswer answer, parts_.coordinator->fleet().CheckIn(id_, report));
  next_check_in_ = answer.next_check_in;
  if (!answer.invitation.has_value()) return next_check_in_;
  return Train(*answer.invitation, answer.tasks.front());  // there is one task
}

absl::StatusOr<milliseconds> SimDevice::Train(const RoundInvitation& invitation, const OfferedTask& offer) {
  RETURN_IF_ERROR(parts_.coordinator->release_key().verify_key().Verify(SignPurpose::kTrainingPlan, AsBytes(offer.plan),
                                                                        offer.plan_signature));
  ASSIGN_OR_RETURN(const TrainingPlan plan, ParseTrainingPlan(offer.plan));
  RETURN_IF_ERROR(BringTo(invitation.version, invitation.version_hash, plan));
  TrainOptions options = plan.train;
  options.factors = TrainedFactors(plan.trained, invitation.version);
  LocalTraining training{.start = *adapter_, .options = options, .examples = parts_.examples->train};
  if (options.control_variates) {
    const std::vector<float> own = ControlOf(control_, adapter_->spec(), options.factors);
    ASSIGN_OR_RETURN(const std::vector<float> server, FetchControl(invitation.round, own.size()));
    training.correction = GradientCorrection(server, own);
  }
  ASSIGN_OR_RETURN(const LocallyTrained trained, parts_.trainer->Train(training));
  totals_.tokens += trained.tokens;
  ASSIGN_OR_RETURN(RoundUpdate update, Encode(trained, invitation, plan));
  ready_.emplace(Ready{.round = invitation.round, .update = std::move(update), .masked = {}});
  if (parts_.task->spec.secure()) {
    ready_->masked.emplace(MaskedUpload::Device{.id = id_,
                                                .certificate = certificate_,
                                                .key = &key_,
                                                .coordinator = parts_.coordinator,
                                                .random = &random_},
                           invitation.round, ready_->update.ring);
  }
  return milliseconds(static_cast<int64_t>(1000.0 * static_cast<double>(trained.tokens) / parts_.tokens_per_second));
}

absl::Status SimDevice::BringTo(uint32_t version, const Digest& hash, const TrainingPlan& plan) {
  if (adapter_ != nullptr && version_ == version && hash_ == hash) return absl::OkStatus();
  Adapter adapter = adapter_ != nullptr ? *adapter_ : Adapter::Initial(parts_.task->adapter, plan.seed);
  const HeldAdapterVersion held{.task = plan.task, .version = version_, .hash = hash_};
  ASSIGN_OR_RETURN(const std::vector<UpdatePieceRef> pieces,
                   parts_.coordinator->fleet().PlanUpdate(plan.task, held, adapter_ == nullptr, version));
  for (const UpdatePieceRef& piece : pieces) {
    ASSIGN_OR_RETURN(const Bytes bytes, Fetch(piece));
    ASSIGN_OR_RETURN(const SignedUpdate update, ParseUpdate(bytes));
    ASSIGN_OR_RETURN(adapter, ApplyUpdate(update, adapter, {.task = plan.task, .base = plan.base, .seed = plan.seed},
                                          parts_.coordinator->release_key().verify_key()));
  }
  if (AdapterHash(adapter, plan.seed) != hash) {
    return absl::DataLossError("version " + std::to_string(version) + " is not the one that the round trains from");
  }
  adapter_ = parts_.coordinator->Shared(hash, std::move(adapter));
  version_ = version;
  hash_ = hash;
  return absl::OkStatus();
}

absl::StatusOr<Bytes> SimDevice::Fetch(const UpdatePieceRef& piece) {
  Bytes bytes;
  while (bytes.size() < piece.size) {
    ASSIGN_OR_RETURN(const Bytes part, parts_.coordinator->fleet().FetchUpdate(id_, parts_.task->spec.plan.task,
                                                                               piece.sha256, bytes.size()));
    if (part.empty()) return absl::DataLossError("an update ends before its size");
    bytes.insert(bytes.end(), part.begin(), part.end());
  }
  totals_.bytes_down += bytes.size();
  return bytes;
}

absl::StatusOr<std::vector<float>> SimDevice::FetchControl(const std::string& round, uint64_t values) {
  Bytes bytes;
  for (;;) {
    ASSIGN_OR_RETURN(const ServerControlPart part, parts_.coordinator->fleet().FetchControl(id_, round, bytes.size()));
    if (part.bytes.empty()) break;
    bytes.insert(bytes.end(), part.bytes.begin(), part.bytes.end());
  }
  totals_.bytes_down += bytes.size();
  return ReadServerControl(bytes, values);
}

absl::StatusOr<RoundUpdate> SimDevice::Encode(const LocallyTrained& trained, const RoundInvitation& invitation,
                                              const TrainingPlan& plan) {
  ASSIGN_OR_RETURN(Delta delta,
                   MakeDelta(*adapter_, trained.adapter, TrainedFactors(plan.trained, invitation.version)));
  return EncodeRoundUpdate({.plan = plan,
                            .spec = adapter_->spec(),
                            .from_version = invitation.version,
                            .round = invitation.round,
                            .delta = std::move(delta),
                            .examples = parts_.examples->records,
                            .mean_gradient = trained.mean_gradient,
                            .own = &control_},
                           random_);
}

absl::StatusOr<milliseconds> SimDevice::Send() {
  if (ready_->masked.has_value()) {
    ASSIGN_OR_RETURN(const UploadProgress progress, ready_->masked->Step());
    if (progress.state == UploadProgress::State::kGoesOn) return progress.again_in;
    if (progress.state == UploadProgress::State::kCounted) Counted();
  } else {
    const absl::Status sent = SendUpdate(parts_.coordinator->fleet(), id_, ready_->round, ready_->update.packed);
    if (!sent.ok() && !absl::IsFailedPrecondition(sent)) return sent;  // too late: the round is over
    if (sent.ok()) Counted();
  }
  ready_.reset();
  return next_check_in_;
}

void SimDevice::Counted() {
  if (parts_.task->spec.plan.train.control_variates) control_ = ready_->update.control;
}

}  // namespace fleetune
