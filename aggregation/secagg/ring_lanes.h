#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "aggregation/encode/ring.h"
#include "aggregation/secagg/masks.h"
#include "base/bytes.h"

namespace fleetune::secagg {

// Ring elements in the width that masks of their lanes have: 16 bits for lanes of 16, else 32 (lanes of 24 ignore the
// upper 8 until they are packed). An input that is masked, or a sum of masked inputs. Not thread-safe.
class RingLanes {
 public:
  // Zeros. Requires lane_bits 16, 24 or 32; checked.
  RingLanes(uint8_t lane_bits, uint64_t dimension);

  static RingLanes FromValues(uint8_t lane_bits, std::span<const uint32_t> values);
  // Of Pack(). DataLoss unless the size fits.
  static absl::StatusOr<RingLanes> Unpack(uint8_t lane_bits, uint64_t dimension, std::span<const uint8_t> packed);

  // Adds an input, packed. DataLoss unless its size fits (nothing is added then).
  absl::Status Add(std::span<const uint8_t> packed);

  void Apply(std::span<const MaskTerm> terms, ParallelFor parallel);

  // lane_bits / 8 little-endian bytes an element.
  Bytes Pack() const;
  RingVector Values() const;  // each below 2^lane_bits

  uint64_t dimension() const;
  uint64_t packed_bytes() const { return dimension() * (lane_bits_ / 8); }

 private:
  uint8_t lane_bits_;
  std::variant<std::vector<uint16_t>, std::vector<uint32_t>> values_;
};

}  // namespace fleetune::secagg
