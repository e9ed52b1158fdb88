#include "coordinator/rpc/device_convert.h"

#include <set>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "coordinator/core/device_report.h"
#include "coordinator/rpc/fields.h"
#include "coordinator/rpc/message_limits.h"

namespace fleetune {
namespace {

absl::Status CheckCertificateRequest(const std::string& pem) {
  return CheckRangeField("certificate_request: bytes", pem.size(), 1, kMaxCertificateRequestBytes);
}

absl::Status CheckCount(const char* field, int count) {
  return CheckRangeField(field, static_cast<uint64_t>(count), 0, kMaxReportEntries);
}

absl::StatusOr<std::vector<HeldAdapterVersion>> VersionsFromProto(const v1::CheckInRequest& message) {
  RETURN_IF_ERROR(CheckCount("versions: entries", message.versions_size()));
  std::vector<HeldAdapterVersion> versions;
  std::set<std::string> tasks;
  for (const v1::HeldVersion& held : message.versions()) {
    RETURN_IF_ERROR(CheckNameField("versions.task", held.task()));
    if (!tasks.insert(held.task()).second) {
      return absl::InvalidArgumentError(fmt::format("versions.task: {} is there twice", held.task()));
    }
    ASSIGN_OR_RETURN(const Digest hash, DigestField("versions.hash", held.hash()));
    versions.push_back({.task = held.task(), .version = held.version(), .hash = hash});
  }
  return versions;
}

absl::StatusOr<std::vector<std::pair<std::string, uint64_t>>> ExamplesFromProto(const v1::CheckInRequest& message) {
  RETURN_IF_ERROR(CheckCount("examples: entries", message.examples_size()));
  std::vector<std::pair<std::string, uint64_t>> examples;
  std::set<std::string> tags;
  for (const v1::ExampleCount& count : message.examples()) {
    // Examples without a tag are counted under the empty one.
    RETURN_IF_ERROR(CheckOptionalNameField("examples.tag", count.tag()));
    if (!tags.insert(count.tag()).second) {
      return absl::InvalidArgumentError(fmt::format("examples.tag: '{}' is there twice", count.tag()));
    }
    RETURN_IF_ERROR(CheckRangeField("examples.examples", count.examples(), 0, kMaxExamplesPerTag));
    examples.emplace_back(count.tag(), count.examples());
  }
  return examples;
}

v1::TaskOffer ToProto(const OfferedTask& task) {
  v1::TaskOffer offer;
  offer.set_plan(task.plan);
  offer.set_plan_signature(task.plan_signature.data(), task.plan_signature.size());
  offer.set_released_version(task.released_version);
  offer.set_released_hash(ToBytesField(task.released_hash));
  offer.set_model_bytes(task.model_bytes);
  return offer;
}

v1::Invitation ToProto(const RoundInvitation& invitation) {
  v1::Invitation message;
  message.set_round(invitation.round);
  message.set_task(invitation.task);
  message.set_version(invitation.version);
  message.set_version_hash(ToBytesField(invitation.version_hash));
  message.set_milliseconds_left(static_cast<uint64_t>(std::max<int64_t>(0, invitation.time_left.count())));
  return message;
}

}  // namespace

absl::StatusOr<EnrollmentRequest> FromProto(const v1::EnrollRequest& message) {
  RETURN_IF_ERROR(
      CheckRangeField("token_secret: bytes", message.token_secret().size(), kTokenSecretBytes, kTokenSecretBytes));
  RETURN_IF_ERROR(CheckCertificateRequest(message.certificate_request()));
  if (message.device_name().empty()) return absl::InvalidArgumentError("device_name: expected a name, got none");
  RETURN_IF_ERROR(CheckWordsField("device_name", message.device_name(), kMaxNameBytes));
  const std::span<const uint8_t> secret = AsBytes(message.token_secret());
  return EnrollmentRequest{.token_secret = Bytes(secret.begin(), secret.end()),
                           .certificate_request = message.certificate_request(),
                           .device_name = message.device_name()};
}

absl::StatusOr<CertificateRenewal> FromProto(const v1::RenewCertificateRequest& message) {
  RETURN_IF_ERROR(CheckCertificateRequest(message.certificate_request()));
  return CertificateRenewal{message.certificate_request()};
}

absl::StatusOr<DeviceReport> FromProto(const v1::CheckInRequest& message) {
  DeviceReport report;
  RETURN_IF_ERROR(CheckWordsField("software_version", message.software_version(), kMaxNameBytes));
  RETURN_IF_ERROR(CheckOptionalNameField("profile", message.profile()));
  RETURN_IF_ERROR(CheckRangeField("memory_budget_bytes", message.memory_budget_bytes(), 0, kMaxMemoryBudgetBytes));
  RETURN_IF_ERROR(CheckWordsField("not_ready_reason", message.not_ready_reason(), kMaxReasonBytes));
  report.software_version = message.software_version();
  report.profile = message.profile();
  report.memory_budget_bytes = message.memory_budget_bytes();
  report.ready_to_train = message.ready_to_train();
  report.not_ready_reason = message.not_ready_reason();
  ASSIGN_OR_RETURN(report.versions, VersionsFromProto(message));
  ASSIGN_OR_RETURN(report.examples, ExamplesFromProto(message));
  RETURN_IF_ERROR(CheckCount("models: entries", message.models_size()));
  for (const std::string& model : message.models()) {
    ASSIGN_OR_RETURN(const Digest sha256, DigestField("models", model));
    report.models.push_back(sha256);
  }
  return report;
}

absl::StatusOr<UpdatePlanQuery> FromProto(const v1::PlanUpdateRequest& message) {
  RETURN_IF_ERROR(CheckNameField("task", message.task()));
  UpdatePlanQuery query;
  query.have.task = message.task();
  query.have.version = message.have_version();
  query.holds_nothing = message.have_hash().empty();
  if (!query.holds_nothing) {
    ASSIGN_OR_RETURN(query.have.hash, DigestField("have_hash", message.have_hash()));
  }
  query.want_version = message.want_version();
  return query;
}

absl::StatusOr<UpdatePartQuery> FromProto(const v1::FetchUpdateRequest& message) {
  RETURN_IF_ERROR(CheckNameField("task", message.task()));
  ASSIGN_OR_RETURN(const Digest sha256, DigestField("sha256", message.sha256()));
  return UpdatePartQuery{.task = message.task(), .sha256 = sha256, .offset = message.offset()};
}

absl::StatusOr<ModelPartQuery> FromProto(const v1::FetchModelRequest& message) {
  ASSIGN_OR_RETURN(const Digest sha256, DigestField("sha256", message.sha256()));
  RETURN_IF_ERROR(CheckRangeField("offset", message.offset(), 0, kMaxModelFileBytes));
  return ModelPartQuery{.sha256 = sha256, .offset = message.offset()};
}

absl::StatusOr<ControlPartQuery> FromProto(const v1::FetchControlRequest& message) {
  RETURN_IF_ERROR(CheckNameField("round", message.round()));
  RETURN_IF_ERROR(CheckRangeField("offset", message.offset(), 0, kMaxTaskParameters * sizeof(float)));
  return ControlPartQuery{.round = message.round(), .offset = message.offset()};
}

absl::StatusOr<UploadAnnouncement> FromProto(const v1::OpenUploadRequest& message) {
  RETURN_IF_ERROR(CheckNameField("round", message.round()));
  RETURN_IF_ERROR(CheckRangeField("size", message.size(), 1, kMaxUploadBytes));
  ASSIGN_OR_RETURN(const Digest sha256, DigestField("sha256", message.sha256()));
  return UploadAnnouncement{.round = message.round(), .size = message.size(), .sha256 = sha256};
}

absl::StatusOr<UploadChunk> FromProto(const v1::PutUploadChunkRequest& message) {
  RETURN_IF_ERROR(CheckNameField("round", message.round()));
  RETURN_IF_ERROR(CheckRangeField("data: bytes", message.data().size(), 1, kTransferChunkBytes));
  RETURN_IF_ERROR(CheckRangeField("index", message.index(), 0, kMaxUploadBytes / kTransferChunkBytes));
  return UploadChunk{.round = message.round(), .index = message.index(), .bytes = AsBytes(message.data())};
}

absl::StatusOr<UploadCommit> FromProto(const v1::CommitUploadRequest& message) {
  RETURN_IF_ERROR(CheckNameField("round", message.round()));
  ASSIGN_OR_RETURN(const Digest sha256, DigestField("sha256", message.sha256()));
  return UploadCommit{.round = message.round(), .sha256 = sha256};
}

absl::StatusOr<SeatWish> FromProto(const v1::TakeSeatRequest& message) {
  RETURN_IF_ERROR(CheckNameField("round", message.round()));
  return SeatWish{message.round()};
}

absl::StatusOr<CellMessage> FromProto(const v1::ExchangeCellRequest& message) {
  RETURN_IF_ERROR(CheckNameField("cell", message.cell()));
  RETURN_IF_ERROR(CheckRangeField("message: bytes", message.message().size(), 0, kMaxCellMessageBytes));
  return CellMessage{.cell = message.cell(), .message = AsBytes(message.message())};
}

absl::StatusOr<RoundRefusal> FromProto(const v1::DeclineRoundRequest& message) {
  RETURN_IF_ERROR(CheckNameField("round", message.round()));
  RETURN_IF_ERROR(CheckWordsField("reason", message.reason(), kMaxReasonBytes));
  return RoundRefusal{.round = message.round(), .reason = message.reason()};
}

v1::CheckInResponse ToProto(const CheckInAnswer& answer) {
  v1::CheckInResponse message;
  message.set_next_check_in_milliseconds(static_cast<uint64_t>(std::max<int64_t>(0, answer.next_check_in.count())));
  for (const OfferedTask& task : answer.tasks) *message.add_tasks() = ToProto(task);
  if (answer.invitation.has_value()) *message.mutable_invitation() = ToProto(*answer.invitation);
  return message;
}

v1::PlanUpdateResponse ToProto(const std::vector<UpdatePieceRef>& pieces) {
  v1::PlanUpdateResponse message;
  for (const UpdatePieceRef& ref : pieces) {
    v1::UpdatePiece* piece = message.add_pieces();
    piece->set_sha256(ToBytesField(ref.sha256));
    piece->set_size(ref.size);
    piece->set_version(ref.version);
    piece->set_snapshot(ref.snapshot);
  }
  return message;
}

v1::FetchControlResponse ToProto(const ServerControlPart& part) {
  v1::FetchControlResponse message;
  message.set_part(part.bytes.data(), part.bytes.size());
  message.set_size(part.size_bytes);
  message.set_sha256(ToBytesField(part.sha256));
  return message;
}

v1::TakeSeatResponse ToProto(const SeatOffer& offer) {
  v1::TakeSeatResponse message;
  message.set_cell(offer.cell);
  message.set_config(offer.config.data(), offer.config.size());
  message.set_config_signature(offer.signature.data(), offer.signature.size());
  return message;
}

v1::ExchangeCellResponse ToProto(CellAnswer answer) {
  v1::ExchangeCellResponse message;
  switch (answer.kind) {
    case CellAnswer::Kind::kWait:
      message.set_ask_again_in_milliseconds(static_cast<uint64_t>(std::max<int64_t>(1, answer.ask_again_in.count())));
      break;
    case CellAnswer::Kind::kMessage:
      message.set_message(answer.message.data(), answer.message.size());
      break;
    case CellAnswer::Kind::kOver:
      message.mutable_over()->set_counted(answer.counted);
      break;
  }
  return message;
}

v1::OpenUploadResponse ToProto(const UploadState& state) {
  v1::OpenUploadResponse message;
  message.set_chunk_bytes(state.chunk_bytes);
  message.mutable_missing_chunks()->Add(state.missing_chunks.begin(), state.missing_chunks.end());
  message.set_committed(state.committed);
  return message;
}

}  // namespace fleetune
