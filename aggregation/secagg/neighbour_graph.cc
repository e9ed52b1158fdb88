#include "aggregation/secagg/neighbour_graph.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crypto/hkdf.h"
#include "base/crypto/random.h"

namespace fleetune::secagg {
namespace {

AesCtrRandom RandomOf(const Digest& session) {
  const Secret32 key = DeriveKey(session.bytes, {}, AsBytes("fleetune-secagg/1/graph"));
  std::array<uint8_t, 32> raw;
  std::ranges::copy(key.bytes(), raw.begin());
  return AesCtrRandom(raw);  // no secret: whoever knows the session knows the graph
}

}  // namespace

NeighbourGraph::NeighbourGraph(const Digest& session, uint32_t cohort, const GraphParameters& parameters)
    : parameters_(parameters), position_at_(cohort), place_of_(cohort) {
  CHECK(cohort >= kMinGraphDevices && cohort <= kMaxGraphDevices);
  if (parameters.complete) {
    CHECK(parameters.neighbours == cohort - 1);
  } else {
    CHECK(parameters.neighbours % 2 == 0 && parameters.neighbours >= 2 && parameters.neighbours <= cohort - 2);
  }
  std::iota(position_at_.begin(), position_at_.end(), 0u);
  AesCtrRandom random = RandomOf(session);
  for (uint32_t last = cohort - 1; last > 0; --last) {
    std::swap(position_at_[last], position_at_[random.Below(uint64_t{last} + 1)]);
  }
  for (uint32_t place = 0; place < cohort; ++place) place_of_[position_at_[place]] = place;
}

std::vector<uint32_t> NeighbourGraph::NeighboursOf(uint32_t position) const {
  CHECK(position < cohort());
  std::vector<uint32_t> neighbours;
  neighbours.reserve(parameters_.neighbours);
  if (parameters_.complete) {
    for (uint32_t other = 0; other < cohort(); ++other) {
      if (other != position) neighbours.push_back(other);
    }
    return neighbours;
  }
  const uint32_t place = place_of_[position];
  for (uint32_t offset = 1; offset <= parameters_.neighbours / 2; ++offset) {
    neighbours.push_back(position_at_[(place + offset) % cohort()]);
    neighbours.push_back(position_at_[(place + cohort() - offset) % cohort()]);
  }
  std::ranges::sort(neighbours);
  return neighbours;
}

std::vector<uint32_t> NeighbourGraph::HoldersOf(uint32_t position) const {
  std::vector<uint32_t> holders = NeighboursOf(position);
  if (parameters_.complete) holders.insert(std::ranges::lower_bound(holders, position), position);
  return holders;
}

bool NeighbourGraph::AreNeighbours(uint32_t one, uint32_t other) const {
  CHECK(one < cohort() && other < cohort());
  if (one == other) return false;
  if (parameters_.complete) return true;
  const uint32_t forward = (place_of_[other] + cohort() - place_of_[one]) % cohort();
  return std::min(forward, cohort() - forward) <= parameters_.neighbours / 2;
}

}  // namespace fleetune::secagg
