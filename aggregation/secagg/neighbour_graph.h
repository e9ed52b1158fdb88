#pragma once

#include <cstdint>
#include <vector>

#include "aggregation/secagg/graph_parameters.h"
#include "base/digest.h"

namespace fleetune::secagg {

// Who shares secrets with whom: a Harary graph over the roster in an order that follows from the session's id, which
// nobody chooses. A device computes it too and checks the neighbours that it was given.
//
// Positions are those of the sorted roster, 0 .. cohort - 1 (seats). The order on the ring is a Fisher-Yates shuffle of
// them, from the last place down, each draw by rejection (RandomSource::Below) from AES-256-CTR under
// HKDF(salt empty, key sid, info "fleetune-secagg/1/graph"). Neighbours are those at most k/2 places away on the ring;
// in a complete graph, everybody. Immutable, so thread-safe.
class NeighbourGraph {
 public:
  // `parameters` are those of ComputeGraphParameters for this cohort. Requires kMinGraphDevices <= cohort <=
  // kMaxGraphDevices, and neighbours == cohort - 1 in a complete graph, else even and in 2 .. cohort - 2; checked.
  NeighbourGraph(const Digest& session, uint32_t cohort, const GraphParameters& parameters);

  // In ascending order, parameters().neighbours of them, without `position` itself. j is a neighbour of i just when i
  // is one of j. Requires position < cohort; checked.
  std::vector<uint32_t> NeighboursOf(uint32_t position) const;

  // Who holds shares of the secrets of `position`, in ascending order: its neighbours and, in a complete graph, itself
  // (see ComputeGraphParameters).
  std::vector<uint32_t> HoldersOf(uint32_t position) const;

  bool AreNeighbours(uint32_t one, uint32_t other) const;

  uint32_t cohort() const { return static_cast<uint32_t>(position_at_.size()); }
  const GraphParameters& parameters() const { return parameters_; }

 private:
  GraphParameters parameters_;
  std::vector<uint32_t> position_at_;  // of a place on the ring
  std::vector<uint32_t> place_of_;     // of a position
};

}  // namespace fleetune::secagg
