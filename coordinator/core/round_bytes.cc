// The books of what travelled for a round.

#include <iterator>

#include "base/status_macros.h"
#include "coordinator/core/fleet_state.h"

namespace fleetune {

absl::StatusOr<RoundBytes*> Fleet::State::BytesOf(const std::string& round) {
  const auto known = round_bytes.find(round);
  if (known != round_bytes.end()) return &known->second;
  ASSIGN_OR_RETURN(const RoundRecord record, ports.store->FindRound(round));
  const auto added = round_bytes.emplace(round, RoundBytes{.up = record.bytes_up, .down = record.bytes_down});
  return &added.first->second;
}

absl::Status Fleet::State::WriteRoundBytes() {
  std::map<std::string, RoundBytes> unwritten;
  for (const auto& [round, bytes] : round_bytes) {
    if (bytes.unwritten) unwritten.emplace(round, bytes);
  }
  if (unwritten.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(Write({}, [&](FleetTransaction& transaction) -> absl::Status {
    for (const auto& [round, bytes] : unwritten) {
      RETURN_IF_ERROR(transaction.SetRoundBytes(round, bytes.up, bytes.down));
    }
    return absl::OkStatus();
  }));
  for (auto& [round, bytes] : round_bytes) bytes.unwritten = false;
  // Of rounds that are over the store knows it now.
  std::erase_if(round_bytes, [this](const auto& entry) { return !memory.rounds.contains(entry.first); });
  return absl::OkStatus();
}

}  // namespace fleetune
