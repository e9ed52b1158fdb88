// The sums of cells: masked inputs go in, and once the masks are off they are added to the round's.

#include <utility>

#include "aggregation/encode/lanes.h"
#include "aggregation/secagg/ring_lanes.h"
#include "base/check.h"
#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "coordinator/core/fleet_state.h"
#include "coordinator/core/upload_chunks.h"

namespace fleetune {
namespace {

using secagg::RingLanes;
using secagg::SessionEvent;

absl::StatusOr<RingVector> SumOrZeros(FleetStore& store, const std::string& name, uint64_t size) {
  absl::StatusOr<RingVector> sum = store.Sum(name);
  if (absl::IsNotFound(sum.status())) return RingVector(size);
  if (sum.ok() && sum->size() != size) {
    return absl::DataLossError("the stored sum of " + name + " has " + std::to_string(sum->size()) +
                               " elements, expected " + std::to_string(size));
  }
  return sum;
}

}  // namespace

absl::Status Fleet::State::CommitToCell(const std::string& device, const std::string& cell_id, const Digest& sha256) {
  const secagg::ServerSession& session = *FindOpenCell(cell_id);
  ASSIGN_OR_RETURN(const bool wanted, session.InputWanted(device));
  if (!wanted) return absl::OkStatus();
  FleetStore& store = *ports.store;
  ASSIGN_OR_RETURN(const WholeUpload whole, ReadWholeUpload(store, cell_id, device, sha256));
  const auto drop_upload = [&](FleetTransaction& transaction) { return transaction.DeleteUpload(cell_id, device); };
  if (Sha256(whole.bytes) != sha256) {
    RETURN_IF_ERROR(Write({}, drop_upload));
    return absl::DataLossError("the chunks do not hash to " + sha256.ToHex() + ": open the upload again");
  }
  CHECK(whole.bytes.size() == session.input_bytes());  // the size that the upload was opened with
  const auto packed = std::span(whole.bytes).first(session.packed_bytes());
  const auto verify = [this](std::span<const uint8_t> certificate) { return VerifyPeer(certificate); };
  const absl::StatusOr<std::optional<SessionEvent>> event =
      session.CheckInput(device, std::span(whole.bytes).subspan(packed.size()), verify);
  if (!event.ok()) {
    RETURN_IF_ERROR(Write({}, drop_upload));
    return event.status();
  }
  const secagg::SessionConfig& config = session.config();
  ASSIGN_OR_RETURN(RingVector sum, SumOrZeros(store, cell_id, config.dimension));
  ASSIGN_OR_RETURN(const LaneBits lane, LaneFromBits(config.lane_bits));
  RETURN_IF_ERROR(AddPackedToSum(packed, lane, sum));
  RETURN_IF_ERROR(AdvanceCell(cell_id, **event, [&](FleetTransaction& transaction) -> absl::Status {
    RETURN_IF_ERROR(transaction.PutSum(cell_id, sum));
    return drop_upload(transaction);
  }));
  // The input is in the sum for good. Should the next phase not begin now, Tick tries again.
  (void)PumpCell(cell_id);
  return absl::OkStatus();
}

absl::Status Fleet::State::FinishCell(const std::string& cell_id, secagg::RecoveredMasks masks) {
  const OpenCell& cell = memory.cells.at(cell_id);
  const secagg::SessionConfig& config = cell.session.config();
  FleetStore& store = *ports.store;
  ASSIGN_OR_RETURN(const RingVector masked, store.Sum(cell_id));
  RingLanes lanes = RingLanes::FromValues(config.lane_bits, masked);
  lanes.Apply(masks.terms, [this](size_t tasks, absl::FunctionRef<void(size_t)> work) { RunTasks(tasks, work); });
  // Sums of cells are added in the clear, as the numbers that they stand for: a round's sum has 32 bits.
  const RingVector opened = lanes.Values();
  ASSIGN_OR_RETURN(const LaneBits lane, LaneFromBits(config.lane_bits));
  const std::string round_id = cell.record.round;
  ASSIGN_OR_RETURN(RingVector sum, SumOrZeros(store, round_id, config.dimension));
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<uint32_t>(SignedElement(opened[i], lane));

  const CellCounted counted{.devices = cell.session.counted(), .bytes = lanes.packed_bytes()};
  CellRecord record = cell.record;
  record.state = "finished";
  record.seats = cell.session.advertised();
  record.counted = static_cast<uint32_t>(counted.devices.size());
  std::vector<DeviceRecord> devices;
  for (const std::string& device : counted.devices) {
    devices.push_back(memory.devices.at(device));
    ++devices.back().rounds_counted;
  }
  std::vector<AuditNote> notes{{"coordinator", "cell.finished",
                                cell_id + ": the sum of " + std::to_string(record.counted) + " updates of " +
                                    std::to_string(record.seats) + " devices was opened"}};
  for (const std::string& liar : masks.liars) {
    notes.push_back({"coordinator", "cell.wrong_share", cell_id + ": device " + liar + " released a wrong share"});
  }
  // It ends as finished, also if the round ends by it, which fails the cells that are still open.
  auto node = memory.cells.extract(cell_id);
  const absl::Status written = Advance({{.round = round_id, .events = {counted}}}, std::move(notes),
                                       [&](FleetTransaction& transaction) -> absl::Status {
                                         RETURN_IF_ERROR(transaction.PutCell(record));
                                         RETURN_IF_ERROR(transaction.DeleteCellEvents(cell_id));
                                         RETURN_IF_ERROR(transaction.DeleteUploads(cell_id));
                                         RETURN_IF_ERROR(transaction.DeleteSum(cell_id));
                                         for (const DeviceRecord& device : devices) {
                                           RETURN_IF_ERROR(transaction.PutDevice(device));
                                         }
                                         return transaction.PutSum(round_id, sum);
                                       });
  if (!written.ok()) {
    memory.cells.insert(std::move(node));
    return written;
  }
  for (const DeviceRecord& device : devices) memory.devices.at(device.id) = device;
  return FinishClosing(round_id);
}

}  // namespace fleetune
