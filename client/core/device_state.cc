#include "client/core/device_state.h"

namespace fleetune {

std::vector<Digest> PayloadsOf(const DeviceState& state) {
  if (!state.pending.has_value()) return {};
  std::vector<Digest> payloads = {state.pending->sha256};
  if (!state.pending->seat.has_value()) return payloads;
  const CellSeat& seat = *state.pending->seat;
  if (!seat.given_up) payloads.push_back(seat.session);
  if (seat.message.has_value()) payloads.push_back(*seat.message);
  if (seat.masked.has_value()) payloads.push_back(seat.masked->sha256);
  return payloads;
}

}  // namespace fleetune
