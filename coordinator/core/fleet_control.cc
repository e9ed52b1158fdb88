// Control variates on their way to devices; how the server's move stands in fleet_closing.cc.

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "coordinator/core/fleet_state.h"

namespace fleetune {
namespace {

// Of A, then of B, as far as they are trained. Nothing while all are zeros.
Bytes ControlBytes(const ServerState& state, const AdapterSpec& spec, Factors factors) {
  std::vector<float> values;
  const auto append = [&](const std::vector<float>& control, uint64_t size) {
    values.insert(values.end(), control.begin(), control.end());
    if (control.empty()) values.resize(values.size() + size);
  };
  if (HasA(factors)) append(state.a.control, spec.a_size());
  if (HasB(factors)) append(state.b.control, spec.b_size());
  if (std::ranges::all_of(values, [](float value) { return value == 0; })) return {};
  const auto bytes = std::as_bytes(std::span(values));
  Bytes out(bytes.size());
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

}  // namespace

absl::StatusOr<const ControlAtHand*> Fleet::State::ControlOfRound(const OpenRound& round) {
  if (control.has_value() && control->round == round.record.id) return &*control;
  ASSIGN_OR_RETURN(const FleetTask* const task, FindTask(round.record.task));
  const absl::StatusOr<ServerState> state = ports.store->FindServerState(round.record.task);
  if (!state.ok() && !absl::IsNotFound(state.status())) return state.status();
  ControlAtHand read{.round = round.record.id, .bytes = {}, .sha256 = {}};
  if (state.ok()) {
    const Factors factors = TrainedFactors(task->spec.plan.trained, round.machine.from_version());
    read.bytes = ControlBytes(*state, task->adapter, factors);
  }
  read.sha256 = Sha256(read.bytes);
  control = std::move(read);
  return &*control;
}

absl::StatusOr<ServerControlPart> Fleet::FetchControl(const std::string& device, const std::string& round_id,
                                                      uint64_t offset) {
  RETURN_IF_ERROR(state_->Refresh());
  RETURN_IF_ERROR(state_->FindDevice(device).status());
  ASSIGN_OR_RETURN(const OpenRound round, state_->FindRound(round_id));
  if (round.machine.phase() != RoundPhase::kCollecting) {
    return absl::FailedPreconditionError("round " + round_id + " is over");
  }
  if (!round.machine.SeatOf(device)) {
    return absl::FailedPreconditionError("this device was not invited to round " + round_id);
  }
  ASSIGN_OR_RETURN(FleetTask* const task, state_->FindTask(round.record.task));
  if (!task->spec.plan.train.control_variates) {
    return absl::FailedPreconditionError("task " + round.record.task + " has no control variates");
  }
  ASSIGN_OR_RETURN(const ControlAtHand* const control, state_->ControlOfRound(round));
  const Bytes& bytes = control->bytes;
  if (offset > bytes.size()) {
    return absl::InvalidArgumentError("offset: expected at most " + std::to_string(bytes.size()) + ", got " +
                                      std::to_string(offset));
  }
  const uint64_t size = std::min<uint64_t>(kTransferChunkBytes, bytes.size() - offset);
  const uint32_t version = round.machine.from_version();
  if (const absl::StatusOr<RoundBytes*> books = state_->BytesOf(task->versions.at(version).round); books.ok()) {
    (*books)->down += size;
    (*books)->unwritten = true;
  }
  const auto first = bytes.begin() + static_cast<ptrdiff_t>(offset);
  return ServerControlPart{.bytes = Bytes(first, first + static_cast<ptrdiff_t>(size)),
                           .size_bytes = bytes.size(),
                           .sha256 = control->sha256};
}

uint64_t Fleet::State::DevicesOf(const FleetTask& task) const {
  const std::string& tag = task.spec.device_tag;
  return static_cast<uint64_t>(std::ranges::count_if(memory.devices, [&](const auto& entry) {
    const DeviceRecord& device = entry.second;
    return !device.revoked && (tag.empty() || std::ranges::find(device.tags, tag) != device.tags.end());
  }));
}

}  // namespace fleetune
