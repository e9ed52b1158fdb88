#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "aggregation/secagg/graph_parameters.h"
#include "aggregation/secagg/neighbour_graph.h"
#include "aggregation/secagg/session_config.h"
#include "base/bytes.h"
#include "base/digest.h"

namespace fleetune::secagg {

// Who takes part in a session: one line a device, in ascending order of ids. A device's seat is its position.
struct RosterLine {
  std::string device;
  Digest entry;  // EntryHash of its advertisement

  friend bool operator==(const RosterLine&, const RosterLine&) = default;
};
using Roster = std::vector<RosterLine>;

// Of an encoded advertisement.
Digest EntryHash(std::span<const uint8_t> advertisement);

// sid: the id of the session, once its roster is closed.
Digest SessionId(const Digest& config_hash, const Roster& roster);

// Where a device sits. Requires a sorted roster.
std::optional<uint32_t> SeatOf(const Roster& roster, std::string_view device);

// Phase 0, the answer: the roster, and the advertisements of the receiver's neighbours in ascending order of seats.
struct RosterMessage {
  Roster roster;
  std::vector<Bytes> neighbours;  // encoded advertisements

  friend bool operator==(const RosterMessage&, const RosterMessage&) = default;
};
Bytes EncodeRosterMessage(const RosterMessage& message, const Digest& config_hash);

// Checks form and order: InvalidArgument if the roster is not sorted, names a device twice, or has fewer than
// kMinCohort or more than kMaxCohort lines; DataLoss, ResourceExhausted as elsewhere.
absl::StatusOr<RosterMessage> ParseRosterMessage(std::span<const uint8_t> message, const Digest& config_hash);

// What follows from config and roster, the same for everybody.
struct Topology {
  Digest session;  // sid
  GraphParameters parameters;
  NeighbourGraph graph;
};
// InvalidArgument if the roster is larger or smaller than the config allows.
absl::StatusOr<Topology> MakeTopology(const SessionConfig& config, const Digest& config_hash, const Roster& roster);

}  // namespace fleetune::secagg
