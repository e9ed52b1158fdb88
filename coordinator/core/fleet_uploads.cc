#include <algorithm>
#include <utility>

#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "coordinator/core/device_report.h"
#include "coordinator/core/fleet_state.h"
#include "coordinator/core/upload_chunks.h"

namespace fleetune {
namespace {

absl::StatusOr<UploadDestination> DestinationInRound(const OpenRound& round, const FleetTask& task,
                                                     const std::string& device) {
  const std::string& id = round.record.id;
  const auto seat = round.machine.SeatOf(device);
  if (!seat) return absl::FailedPreconditionError("this device was not invited to round " + id);
  const EncodingOptions options = task.update_options(id, round.machine.from_version());
  UploadDestination destination{
      .size = RingLength(options) * LaneBytes(options.lane), .counted = *seat == RoundSeat::kCounted, .closed = {}};
  if (task.spec.plan.secure.mode != SecureMode::kOff) {
    destination.closed = absl::FailedPreconditionError("round " + id + " takes masked updates only: take a seat first");
  } else if (*seat == RoundSeat::kDeclined) {
    destination.closed = absl::FailedPreconditionError("this device gave its place in round " + id + " away");
  } else if (round.machine.phase() != RoundPhase::kCollecting) {
    destination.closed = absl::FailedPreconditionError("round " + id + " is over");
  }
  return destination;
}

UploadDestination DestinationInCell(const OpenCell& cell, const OpenRound& round, const std::string& device) {
  const absl::StatusOr<bool> wanted = cell.session.InputWanted(device);
  UploadDestination destination{
      .size = cell.session.input_bytes(), .counted = wanted.ok() && !*wanted, .closed = wanted.status()};
  if (wanted.ok() && round.machine.SeatOf(device) == RoundSeat::kDeclined) {
    destination.closed =
        absl::FailedPreconditionError("this device gave its place in round " + round.record.id + " away");
  }
  return destination;
}

// The bounds of what an UpdateEncoder can give. An honest device never fails them; without them one broken device
// could spoil the sum of all. Of a masked update nobody can tell.
absl::Status CheckBounds(const RingVector& ring, const EncodingOptions& options) {
  const int64_t most_steps = MaxSteps(options);
  const int64_t share_unit = ShareUnit(options);
  for (size_t i = 0; i < ring.size(); ++i) {
    const int64_t value = SignedElement(ring[i], options.lane);
    const bool is_share = i >= options.values;  // weights and telemetry
    if (is_share ? value >= 0 && value <= share_unit : value >= -most_steps && value <= most_steps) continue;
    return absl::InvalidArgumentError("update out of range: element " + std::to_string(i) + " is " +
                                      std::to_string(value));
  }
  return absl::OkStatus();
}

// Elements as the numbers that they stand for: a round's sum has 32 bits.
absl::StatusOr<RingVector> SumWith(FleetStore& store, const std::string& round, const RingVector& update,
                                   LaneBits lane) {
  absl::StatusOr<RingVector> sum = store.Sum(round);
  if (absl::IsNotFound(sum.status())) sum = RingVector(update.size());
  if (!sum.ok()) return sum.status();
  if (sum->size() != update.size()) {
    return absl::DataLossError("the stored sum of round " + round + " has " + std::to_string(sum->size()) +
                               " elements, expected " + std::to_string(update.size()));
  }
  for (size_t i = 0; i < update.size(); ++i) (*sum)[i] += static_cast<uint32_t>(SignedElement(update[i], lane));
  return sum;
}

}  // namespace

absl::StatusOr<UploadDestination> Fleet::State::FindDestination(const std::string& id,
                                                                const std::string& device) const {
  if (const auto cell = memory.cells.find(id); cell != memory.cells.end()) {
    return DestinationInCell(cell->second, memory.rounds.at(cell->second.record.round), device);
  }
  if (const absl::StatusOr<CellRecord> ended = ports.store->FindCell(id); ended.ok()) {
    ASSIGN_OR_RETURN(const OpenRound round, FindRound(ended->round));
    return UploadDestination{.counted = round.machine.SeatOf(device) == RoundSeat::kCounted,
                             .closed = absl::FailedPreconditionError("cell " + id + " is over")};
  } else if (!absl::IsNotFound(ended.status())) {
    return ended.status();
  }
  ASSIGN_OR_RETURN(const OpenRound round, FindRound(id));
  return DestinationInRound(round, memory.tasks.at(round.record.task), device);
}

absl::StatusOr<UploadState> Fleet::OpenUpload(const std::string& device, const std::string& round_id, uint64_t size,
                                              const Digest& sha256) {
  RETURN_IF_ERROR(state_->Refresh());
  RETURN_IF_ERROR(state_->FindDevice(device).status());
  ASSIGN_OR_RETURN(const UploadDestination destination, state_->FindDestination(round_id, device));
  UploadState answer{.chunk_bytes = kTransferChunkBytes, .missing_chunks = {}, .committed = destination.counted};
  if (answer.committed) return answer;
  RETURN_IF_ERROR(destination.closed);
  if (size != destination.size) {
    return absl::InvalidArgumentError("an update to " + round_id + " has " + std::to_string(destination.size) +
                                      " bytes, got " + std::to_string(size));
  }
  FleetStore& store = *state_->ports.store;
  const UploadRecord upload{.round = round_id, .device = device, .size = size, .sha256 = sha256};
  const absl::StatusOr<UploadRecord> before = store.FindUpload(round_id, device);
  if (!before.ok() && !absl::IsNotFound(before.status())) return before.status();
  if (!before.ok() || before->sha256 != sha256) {
    const auto put = [&](FleetTransaction& transaction) { return transaction.PutUpload(upload); };
    const secagg::ServerSession* session = state_->FindOpenCell(round_id);
    const std::string& round = session == nullptr ? round_id : session->config().round;
    RETURN_IF_ERROR(state_->Advance({{.round = round, .events = {UploadOpened{device}}}}, {}, put));
  }
  ASSIGN_OR_RETURN(answer.missing_chunks, MissingChunks(store, upload));
  return answer;
}

absl::Status Fleet::PutUploadChunk(const std::string& device, const std::string& round_id, uint32_t index,
                                   std::span<const uint8_t> chunk) {
  RETURN_IF_ERROR(state_->Refresh());
  RETURN_IF_ERROR(state_->FindDevice(device).status());
  ASSIGN_OR_RETURN(const UploadDestination destination, state_->FindDestination(round_id, device));
  if (destination.counted) return absl::OkStatus();  // late copy of a chunk that is in the sum
  RETURN_IF_ERROR(destination.closed);
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
  ASSIGN_OR_RETURN(const UploadDestination destination, state_->FindDestination(round_id, device));
  if (destination.counted) return absl::OkStatus();
  RETURN_IF_ERROR(destination.closed);
  if (state_->FindOpenCell(round_id) != nullptr) return state_->CommitToCell(device, round_id, sha256);
  FleetStore& store = *state_->ports.store;
  ASSIGN_OR_RETURN(const WholeUpload whole, ReadWholeUpload(store, round_id, device, sha256));
  const auto& [upload, bytes] = whole;
  const auto drop_upload = [&](FleetTransaction& transaction) { return transaction.DeleteUpload(round_id, device); };
  if (Sha256(bytes) != upload.sha256) {
    RETURN_IF_ERROR(state_->Write({}, drop_upload));
    return absl::DataLossError("the chunks do not hash to " + sha256.ToHex() + ": open the upload again");
  }
  ASSIGN_OR_RETURN(const OpenRound round, state_->FindRound(round_id));
  ASSIGN_OR_RETURN(FleetTask* const task, state_->FindTask(round.record.task));
  const EncodingOptions options = task->update_options(round_id, round.machine.from_version());
  ASSIGN_OR_RETURN(const RingVector update, UnpackLanes(bytes, options.lane, RingLength(options)));
  if (const absl::Status bounds = CheckBounds(update, options); !bounds.ok()) {
    const std::string reason(bounds.message());
    RETURN_IF_ERROR(
        state_->Advance({{.round = round_id, .events = {DeviceDeclined{device, reason}}}}, {}, drop_upload));
    return bounds;
  }
  ASSIGN_OR_RETURN(const RingVector sum, SumWith(store, round_id, update, options.lane));
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
  const auto seat = round.machine.SeatOf(device);
  if (!seat) return absl::FailedPreconditionError("this device was not invited to round " + round_id);
  if (*seat == RoundSeat::kCounted) {
    return absl::FailedPreconditionError("this device's update is already counted in round " + round_id);
  }
  for (const auto& [id, cell] : state_->memory.cells) {
    if (cell.record.round != round_id || !cell.session.Committed(device)) continue;
    return absl::FailedPreconditionError("this device's update is in the sum of cell " + id + " already");
  }
  // No place to give back.
  if (round.machine.phase() != RoundPhase::kCollecting || *seat == RoundSeat::kDeclined) return absl::OkStatus();
  return state_->Advance({{.round = round_id, .events = {DeviceDeclined{device, reason}}}}, {},
                         [&](FleetTransaction& transaction) { return transaction.DeleteUpload(round_id, device); });
}

void Fleet::CountBytesUp(const std::string& id, uint64_t bytes) {
  const secagg::ServerSession* session = state_->FindOpenCell(id);
  const std::string& round = session == nullptr ? id : session->config().round;
  const absl::StatusOr<RoundBytes*> books = state_->BytesOf(round);
  if (!books.ok()) return;  // no such round: nobody's bytes
  (*books)->up += bytes;
  (*books)->unwritten = true;
}

}  // namespace fleetune
