#include "tools/sim/sim_device.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "aggregation/encode/lanes.h"
#include "aggregation/encode/update_encoder.h"
#include "base/status_macros.h"
#include "lora/adapter/delta.h"
#include "lora/plan/control_variates.h"
#include "lora/plan/update_options.h"
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
    const std::vector<float> own = Control(options.factors);
    ASSIGN_OR_RETURN(const std::vector<float> server, FetchControl(invitation.round, own.size()));
    training.correction = GradientCorrection(server, own);
  }
  ASSIGN_OR_RETURN(const LocallyTrained trained, parts_.trainer->Train(training));
  totals_.tokens += trained.tokens;
  ASSIGN_OR_RETURN(EncodedUpdate update, Encode(trained, invitation, plan));
  ready_.emplace(
      Ready{.round = invitation.round, .update = std::move(update), .factors = options.factors, .masked = {}});
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
    ASSIGN_OR_RETURN(const Bytes part, parts_.coordinator->fleet().FetchControl(id_, round, bytes.size()));
    if (part.empty()) break;
    bytes.insert(bytes.end(), part.begin(), part.end());
  }
  totals_.bytes_down += bytes.size();
  std::vector<float> control(values);
  if (bytes.empty()) return control;  // zeros
  if (bytes.size() != values * sizeof(float)) {
    return absl::DataLossError("control variates: expected " + std::to_string(values * sizeof(float)) +
                               " bytes, got " + std::to_string(bytes.size()));
  }
  std::memcpy(control.data(), bytes.data(), bytes.size());
  return control;
}

absl::StatusOr<EncodedUpdate> SimDevice::Encode(const LocallyTrained& trained, const RoundInvitation& invitation,
                                                const TrainingPlan& plan) {
  const Factors factors = TrainedFactors(plan.trained, invitation.version);
  ASSIGN_OR_RETURN(Delta values, MakeDelta(*adapter_, trained.adapter, factors));
  EncodedUpdate update;
  if (plan.train.control_variates) {
    update.change = ControlChange(trained.mean_gradient, Control(factors));
    values.insert(values.end(), update.change.begin(), update.change.end());
  }
  ASSIGN_OR_RETURN(EncodingOptions options, UpdateOptions({.plan = plan,
                                                           .spec = adapter_->spec(),
                                                           .from_version = invitation.version,
                                                           .round = invitation.round}));
  ASSIGN_OR_RETURN(const UpdateEncoder encoder, UpdateEncoder::Create(std::move(options)));
  ASSIGN_OR_RETURN(EncodedInput encoded,
                   encoder.Encode({.values = std::move(values),
                                   .weight = UpdateWeight(plan, parts_.examples->records),
                                   .trained_groups = TrainedGroups(plan, 0)},
                                  random_));
  update.packed = PackLanes(encoded.ring, encoder.options().lane);
  update.ring = std::move(encoded.ring);
  update.norm = encoded.norm;
  return update;
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

std::vector<float> SimDevice::Control(Factors factors) const {
  std::vector<float> control;
  const auto append = [&](const std::vector<float>& own, uint64_t size) {
    control.insert(control.end(), own.begin(), own.end());
    if (own.empty()) control.resize(control.size() + size);
  };
  if (HasA(factors)) append(control_a_, parts_.task->adapter.a_size());
  if (HasB(factors)) append(control_b_, parts_.task->adapter.b_size());
  return control;
}

void SimDevice::Counted() {
  if (ready_->update.change.empty()) return;
  const Factors factors = ready_->factors;
  std::vector<float> control = Control(factors);
  MoveControl(control, ready_->update.change, ready_->update.norm, parts_.task->spec.plan.encoding.clip_norm);
  const auto a_end = control.begin() + static_cast<ptrdiff_t>(HasA(factors) ? parts_.task->adapter.a_size() : 0);
  if (HasA(factors)) control_a_.assign(control.begin(), a_end);
  if (HasB(factors)) control_b_.assign(a_end, control.end());
}

}  // namespace fleetune
