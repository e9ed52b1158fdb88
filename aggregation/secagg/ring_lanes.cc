#include "aggregation/secagg/ring_lanes.h"

#include <utility>

#include "aggregation/encode/lanes.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune::secagg {
namespace {

using Values16 = std::vector<uint16_t>;
using Values32 = std::vector<uint32_t>;

LaneBits LaneOf(uint8_t lane_bits) {
  const absl::StatusOr<LaneBits> lane = LaneFromBits(lane_bits);
  CHECK(lane.ok());
  return *lane;
}

}  // namespace

RingLanes::RingLanes(uint8_t lane_bits, uint64_t dimension) : lane_bits_(lane_bits) {
  if (LaneOf(lane_bits) == LaneBits::k16) {
    values_ = Values16(dimension);
  } else {
    values_ = Values32(dimension);
  }
}

RingLanes RingLanes::FromValues(uint8_t lane_bits, std::span<const uint32_t> values) {
  RingLanes lanes(lane_bits, values.size());
  if (auto* narrow = std::get_if<Values16>(&lanes.values_)) {
    for (size_t i = 0; i < values.size(); ++i) (*narrow)[i] = static_cast<uint16_t>(values[i]);
  } else {
    std::get<Values32>(lanes.values_).assign(values.begin(), values.end());
  }
  return lanes;
}

absl::StatusOr<RingLanes> RingLanes::Unpack(uint8_t lane_bits, uint64_t dimension, std::span<const uint8_t> packed) {
  RingLanes lanes(lane_bits, dimension);
  RETURN_IF_ERROR(lanes.Add(packed));
  return lanes;
}

absl::Status RingLanes::Add(std::span<const uint8_t> packed) {
  if (auto* narrow = std::get_if<Values16>(&values_)) return AddPackedToSum(packed, *narrow);
  return AddPackedToSum(packed, LaneOf(lane_bits_), std::get<Values32>(values_));
}

void RingLanes::Apply(std::span<const MaskTerm> terms, ParallelFor parallel) {
  std::visit([&](auto& values) { ApplyMasks(std::span(values), terms, parallel); }, values_);
}

Bytes RingLanes::Pack() const {
  const auto* narrow = std::get_if<Values16>(&values_);
  if (narrow == nullptr) return PackLanes(std::get<Values32>(values_), LaneOf(lane_bits_));
  const auto* bytes = reinterpret_cast<const uint8_t*>(narrow->data());  // little-endian: base/bytes.h
  return Bytes(bytes, bytes + narrow->size() * sizeof(uint16_t));
}

RingVector RingLanes::Values() const {
  if (const auto* narrow = std::get_if<Values16>(&values_)) return Widen(*narrow);
  RingVector values = std::get<Values32>(values_);
  for (uint32_t& value : values) value &= LaneMask(LaneOf(lane_bits_));
  return values;
}

uint64_t RingLanes::dimension() const {
  return std::visit([](const auto& values) { return uint64_t{values.size()}; }, values_);
}

}  // namespace fleetune::secagg
