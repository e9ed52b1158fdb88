#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "aggregation/secagg/session_config.h"
#include "base/bytes.h"
#include "client/core/check_in.h"
#include "client/core/ports.h"
#include "fleetune/v1/device.pb.h"

namespace fleetune {

// Between the wire and the device's plain data. FromProto gives a valid object or InvalidArgument (ResourceExhausted
// over a limit) that names the field; past it nobody checks again. Pure.

inline constexpr int kMaxOffers = 256;
inline constexpr size_t kMaxRoundIdBytes = 64;
inline constexpr int kMaxPieces = 4096;
inline constexpr size_t kMaxPartBytes = 256 * 1024;
inline constexpr uint64_t kMaxControlBytes = kMaxAdapterParameters * sizeof(float);
inline constexpr uint64_t kMaxModelBytes = 1ull << 40;
inline constexpr uint32_t kMaxUploadChunkBytes = 2 * 1024 * 1024;  // below gRPC's 4 MiB for a message
// A roster of kMaxCohort devices and its neighbours' entries are a third of it. Below gRPC's 4 MiB for a message.
inline constexpr size_t kMaxCellAnswerBytes = 3 * 1024 * 1024;
// A coordinator can neither make a device spin nor make it disappear.
inline constexpr std::chrono::milliseconds kLeastCheckIn{100};
inline constexpr std::chrono::milliseconds kMostCheckIn = std::chrono::hours(24);
inline constexpr std::chrono::milliseconds kLeastCellPause{100};
inline constexpr std::chrono::milliseconds kMostCellPause = std::chrono::minutes(1);
inline constexpr std::chrono::milliseconds kMostRoundTime = std::chrono::hours(24 * 31);

v1::CheckInRequest ToProto(const CheckInReport& report);
v1::PlanUpdateRequest ToProto(const UpdateWish& wish);

absl::StatusOr<CheckInReply> FromProto(const v1::CheckInResponse& response);
absl::StatusOr<std::vector<OfferedPiece>> FromProto(const v1::PlanUpdateResponse& response);

// A part of a file of which the device has `offset` bytes: not empty unless that is all.
absl::StatusOr<ModelPart> FromProto(const v1::FetchModelResponse& response, uint64_t offset);
absl::StatusOr<Bytes> FromProto(const v1::FetchUpdateResponse& response);

// A part of a round's control variates of which the device has `offset` bytes: not empty unless that is all.
absl::StatusOr<ControlPart> FromProto(const v1::FetchControlResponse& response, uint64_t offset);

absl::StatusOr<OfferedSeat> FromProto(const v1::TakeSeatResponse& response);

// Exactly one of: a time to ask again, a message, the end.
absl::StatusOr<CellNews> FromProto(const v1::ExchangeCellResponse& response);

// The state of an upload of `size` bytes: missing chunks exist, and none is named twice.
absl::StatusOr<OpenedUpload> FromProto(const v1::OpenUploadResponse& response, uint64_t size);

}  // namespace fleetune
