#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "coordinator/core/fleet.h"
#include "fleetune/v1/adapter.pb.h"
#include "fleetune/v1/device.pb.h"

namespace fleetune {

// Device messages to domain objects and back. FromProto gives a valid object or InvalidArgument naming the field,
// what was expected and what came; past it nobody checks again. Limits: message_limits.h.

struct CertificateRenewal {
  std::string certificate_request;
};
struct UpdatePlanQuery {
  HeldAdapterVersion have;      // of the task
  bool holds_nothing = false;   // have.hash is then zero
  uint32_t want_version = 0;
};
struct UpdatePartQuery {
  std::string task;
  Digest sha256;
  uint64_t offset = 0;
};
struct ModelPartQuery {
  Digest sha256;
  uint64_t offset = 0;
};
struct UploadAnnouncement {
  std::string round;
  uint64_t size = 0;
  Digest sha256;
};
struct UploadChunk {
  std::string round;
  uint32_t index = 0;
  std::span<const uint8_t> bytes;  // borrowed from the message
};
struct UploadCommit {
  std::string round;
  Digest sha256;
};
struct ControlPartQuery {
  std::string round;
  uint64_t offset = 0;
};
struct SeatWish {
  std::string round;
};
struct CellMessage {
  std::string cell;
  std::span<const uint8_t> message;  // borrowed from the request; may be empty
};
struct RoundRefusal {
  std::string round;
  std::string reason;
};

absl::StatusOr<EnrollmentRequest> FromProto(const v1::EnrollRequest& message);
absl::StatusOr<CertificateRenewal> FromProto(const v1::RenewCertificateRequest& message);
absl::StatusOr<DeviceReport> FromProto(const v1::CheckInRequest& message);
absl::StatusOr<UpdatePlanQuery> FromProto(const v1::PlanUpdateRequest& message);
absl::StatusOr<UpdatePartQuery> FromProto(const v1::FetchUpdateRequest& message);
absl::StatusOr<ModelPartQuery> FromProto(const v1::FetchModelRequest& message);
absl::StatusOr<ControlPartQuery> FromProto(const v1::FetchControlRequest& message);
absl::StatusOr<UploadAnnouncement> FromProto(const v1::OpenUploadRequest& message);
absl::StatusOr<UploadChunk> FromProto(const v1::PutUploadChunkRequest& message);
absl::StatusOr<UploadCommit> FromProto(const v1::CommitUploadRequest& message);
absl::StatusOr<SeatWish> FromProto(const v1::TakeSeatRequest& message);
absl::StatusOr<CellMessage> FromProto(const v1::ExchangeCellRequest& message);
absl::StatusOr<RoundRefusal> FromProto(const v1::DeclineRoundRequest& message);

v1::CheckInResponse ToProto(const CheckInAnswer& answer);
v1::PlanUpdateResponse ToProto(const std::vector<UpdatePieceRef>& pieces);
v1::FetchControlResponse ToProto(const ServerControlPart& part);
v1::TakeSeatResponse ToProto(const SeatOffer& offer);
v1::ExchangeCellResponse ToProto(CellAnswer answer);
v1::OpenUploadResponse ToProto(const UploadState& state);

}  // namespace fleetune
