#include <algorithm>
#include <utility>

#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "coordinator/core/device_report.h"
#include "coordinator/core/fleet_state.h"

namespace fleetune {
namespace {

// Where a device stands in a round, open or over.
struct Standing {
  std::string task;
  bool open = false;  // the round still takes updates
  RoundSeat seat = RoundSeat::kInvited;

  bool counted() const { return seat == RoundSeat::kCounted; }
};

absl::StatusOr<Standing> StandingOf(const OpenRound& round, const std::string& device) {
  const auto seat = round.machine.SeatOf(device);
  if (!seat) return absl::FailedPreconditionError("this device was not invited to round " + round.record.id);
  return Standing{.task = round.record.task, .open = round.machine.phase() == RoundPhase::kCollecting, .seat = *seat};
}

// OK if the device may still send its update.
absl::Status CheckMaySend(const Standing& standing, const std::string& round) {
  if (standing.seat == RoundSeat::kDeclined) {
    return absl::FailedPreconditionError("this device gave its place in round " + round + " away");
  }
  if (!standing.open) return absl::FailedPreconditionError("round " + round + " is over");
  return absl::OkStatus();
}

uint32_t ChunksOf(uint64_t size) {
  return static_cast<uint32_t>((size + kTransferChunkBytes - 1) / kTransferChunkBytes);
}

uint64_t ChunkSize(const UploadRecord& upload, uint32_t index) {
  const uint64_t start = uint64_t{index} * kTransferChunkBytes;
  return std::min<uint64_t>(kTransferChunkBytes, upload.size - start);
}

absl::StatusOr<UploadRecord> OpenUploadOf(FleetStore& store, const std::string& round, const std::string& device) {
  absl::StatusOr<UploadRecord> upload = store.FindUpload(round, device);
  if (absl::IsNotFound(upload.status())) {
    return absl::FailedPreconditionError("this device has no upload in round " + round + ": open one first");
  }
  return upload;
}

absl::StatusOr<std::vector<uint32_t>> MissingChunks(FleetStore& store, const UploadRecord& upload) {
  ASSIGN_OR_RETURN(const std::vector<uint32_t> present, store.UploadChunks(upload.round, upload.device));
  std::vector<uint32_t> missing;
  for (uint32_t index = 0; index < ChunksOf(upload.size); ++index) {
    if (!std::ranges::binary_search(present, index)) missing.push_back(index);
  }
  return missing;
}

// The bounds of what EncodeUpdate can give. An honest device never fails them; without them one broken device
// could spoil the sum of all.
absl::Status CheckBounds(const RingVector& ring, const FixedPointOptions& encoding) {
  const double one = static_cast<double>(1u << encoding.fraction_bits);
  const double largest = one * std::max(encoding.clip_norm, 1.0) + 1;
  for (size_t i = 0; i < ring.size(); ++i) {
    const bool is_weight = i + 1 == ring.size();
    const auto value = static_cast<double>(static_cast<int32_t>(ring[i]));
    if (is_weight ? value >= 0 && value <= one + 1 : value >= -largest && value <= largest) continue;
    return absl::InvalidArgumentError("update out of range: element " + std::to_string(i) + " is " +
                                      std::to_string(static_cast<int32_t>(ring[i])));
  }
  return absl::OkStatus();
}

absl::StatusOr<RingVector> SumWith(FleetStore& store, const std::string& round, RingVector update) {
  absl::StatusOr<RingVector> sum = store.Sum(round);
  if (absl::IsNotFound(sum.status())) return update;
  if (!sum.ok()) return sum.status();
  if (sum->size() != update.size()) {
    return absl::DataLossError("the stored sum of round " + round + " has " + std::to_string(sum->size()) +
                               " elements, expected " + std::to_string(update.size()));
  }
  AddToSum(update, *sum);
  return sum;
}

}  // namespace

absl::StatusOr<UploadState> Fleet::OpenUpload(const std::string& device, const std::string& round_id, uint64_t size,
                                              const Digest& sha256) {
  RETURN_IF_ERROR(state_->Refresh());
  RETURN_IF_ERROR(state_->FindDevice(device).status());
  ASSIGN_OR_RETURN(const OpenRound round, state_->FindRound(round_id));
  ASSIGN_OR_RETURN(const Standing standing, StandingOf(round, device));
  UploadState answer{.chunk_bytes = kTransferChunkBytes, .missing_chunks = {}, .committed = standing.counted()};
  if (answer.committed) return answer;
  RETURN_IF_ERROR(CheckMaySend(standing, round_id));
  ASSIGN_OR_RETURN(FleetTask* const task, state_->FindTask(standing.task));
  if (size != task->upload_bytes()) {
    return absl::InvalidArgumentError("an update of task " + standing.task + " has " +
                                      std::to_string(task->upload_bytes()) + " bytes, got " + std::to_string(size));
  }
  FleetStore& store = *state_->ports.store;
  const UploadRecord upload{.round = round_id, .device = device, .size = size, .sha256 = sha256};
  const absl::StatusOr<UploadRecord> before = store.FindUpload(round_id, device);
  if (!before.ok() && !absl::IsNotFound(before.status())) return before.status();
  if (!before.ok() || before->sha256 != sha256) {
    RETURN_IF_ERROR(state_->Advance({{.round = round_id, .events = {UploadOpened{device}}}}, {},
                                    [&](FleetTransaction& transaction) { return transaction.PutUpload(upload); }));
  }
  ASSIGN_OR_RETURN(answer.missing_chunks, MissingChunks(store, upload));
  return answer;
}

absl::Status Fleet::PutUploadChunk(const std::string& device, const std::string& round_id, uint32_t index,
                                   std::span<const uint8_t> chunk) {
  RETURN_IF_ERROR(state_->Refresh());
  RETURN_IF_ERROR(state_->FindDevice(device).status());
  ASSIGN_OR_RETURN(const OpenRound round, state_->FindRound(round_id));
  ASSIGN_OR_RETURN(const Standing standing, StandingOf(round, device));
  if (standing.counted()) return absl::OkStatus();  // late copy of a chunk that is in the sum
  RETURN_IF_ERROR(CheckMaySend(standing, round_id));
  ASSIGN_OR_RETURN(const UploadRecord upload, OpenUploadOf(*state_->ports.store, round_id, device));
  if (index >= ChunksOf(upload.size)) {
    return absl::InvalidArgumentError("chunk: expected 0 to " + std::to_string(ChunksOf(upload.size) - 1) + ", got " +
                                      std::to_string(index));
  }
  if (chunk.size() != ChunkSize(upload, index)) {
    return absl::InvalidArgumentError("chunk " + std::to_string(index) + ": expected " +
                                      std::to_string(ChunkSize(upload, index)) + " bytes, got " +
                                      std::to_string(chunk.size()));
  }
  return state_->Write(
      {}, [&](FleetTransaction& transaction) { return transaction.PutUploadChunk(round_id, device, index, chunk); });
}

absl::Status Fleet::CommitUpload(const std::string& device, const std::string& round_id, const Digest& sha256) {
  RETURN_IF_ERROR(state_->Refresh());
  ASSIGN_OR_RETURN(DeviceRecord* const known, state_->FindDevice(device));
  ASSIGN_OR_RETURN(const OpenRound round, state_->FindRound(round_id));
  ASSIGN_OR_RETURN(const Standing standing, StandingOf(round, device));
  if (standing.counted()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckMaySend(standing, round_id));
  FleetStore& store = *state_->ports.store;
  ASSIGN_OR_RETURN(const UploadRecord upload, OpenUploadOf(store, round_id, device));
  if (upload.sha256 != sha256) {
    return absl::FailedPreconditionError("the open upload is " + upload.sha256.ToHex() + ", not " + sha256.ToHex());
  }
  ASSIGN_OR_RETURN(const std::vector<uint32_t> missing, MissingChunks(store, upload));
  if (!missing.empty()) {
    return absl::FailedPreconditionError(std::to_string(missing.size()) + " chunks are missing, the first is " +
                                         std::to_string(missing.front()));
  }
  ASSIGN_OR_RETURN(const Bytes bytes, store.ReadUpload(round_id, device));
  const auto drop_upload = [&](FleetTransaction& transaction) { return transaction.DeleteUpload(round_id, device); };
  if (Sha256(bytes) != upload.sha256) {
    RETURN_IF_ERROR(state_->Write({}, drop_upload));
    return absl::DataLossError("the chunks do not hash to " + sha256.ToHex() + ": open the upload again");
  }
  ASSIGN_OR_RETURN(FleetTask* const task, state_->FindTask(standing.task));
  ASSIGN_OR_RETURN(RingVector update, UnpackRing(bytes, task->adapter.b_size() + 1));
  if (const absl::Status bounds = CheckBounds(update, task->spec.encoding()); !bounds.ok()) {
    const std::string reason(bounds.message());
    RETURN_IF_ERROR(
        state_->Advance({{.round = round_id, .events = {DeviceDeclined{device, reason}}}}, {}, drop_upload));
    return bounds;
  }
  ASSIGN_OR_RETURN(const RingVector sum, SumWith(store, round_id, std::move(update)));
  DeviceRecord counted = *known;
  ++counted.rounds_counted;
  RETURN_IF_ERROR(state_->Advance({{.round = round_id, .events = {UpdateCounted{device, upload.size}}}}, {},
                                  [&](FleetTransaction& transaction) -> absl::Status {
                                    RETURN_IF_ERROR(transaction.PutSum(round_id, sum));
                                    RETURN_IF_ERROR(transaction.PutDevice(counted));
                                    return drop_upload(transaction);
                                  }));
  *known = counted;
  // The update is counted for good. Should making the version fail now, Tick tries again.
  (void)state_->FinishClosing(round_id);
  return absl::OkStatus();
}

absl::Status Fleet::DeclineRound(const std::string& device, const std::string& round_id, const std::string& reason) {
  RETURN_IF_ERROR(state_->Refresh());
  RETURN_IF_ERROR(state_->FindDevice(device).status());
  if (!IsPlainText(reason, kMaxRoundReasonBytes)) {
    return absl::InvalidArgumentError("reason: expected at most " + std::to_string(kMaxRoundReasonBytes) +
                                      " bytes of text, got " + std::to_string(reason.size()));
  }
  ASSIGN_OR_RETURN(const OpenRound round, state_->FindRound(round_id));
  ASSIGN_OR_RETURN(const Standing standing, StandingOf(round, device));
  if (standing.counted()) {
    return absl::FailedPreconditionError("this device's update is already counted in round " + round_id);
  }
  if (!standing.open || standing.seat == RoundSeat::kDeclined) return absl::OkStatus();  // no place to give back
  return state_->Advance({{.round = round_id, .events = {DeviceDeclined{device, reason}}}}, {},
                         [&](FleetTransaction& transaction) { return transaction.DeleteUpload(round_id, device); });
}

void Fleet::CountBytesUp(const std::string& round, uint64_t bytes) {
  const absl::StatusOr<RoundBytes*> books = state_->BytesOf(round);
  if (!books.ok()) return;  // no such round: nobody's bytes
  (*books)->up += bytes;
  (*books)->unwritten = true;
}

}  // namespace fleetune
