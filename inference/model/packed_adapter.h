#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "inference/kernels/packed_matrix.h"
#include "inference/kernels/page_memory.h"
#include "inference/model/row_gains.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

// An adapter for products beside its base's: A and B quantized to int8 as Q8_0 does (an error of half a per cent of what
// the adapter adds) and packed; of DoRA with the gains of its rows. Immutable, so thread-safe.
class PackedAdapter {
 public:
  // `gains` are the adapter's over the base that it is used with; null if it has none.
  PackedAdapter(const Adapter& adapter, std::shared_ptr<const RowGains> gains);

  struct Module {
    PackedMatrix a;  // rank rows of `in`; F32 if `in` is no multiple of 32
    PackedMatrix b;  // `out` rows of rank_columns; up to rank 16 in half blocks
    std::span<const float> gains;  // `out` factors of W x + scale * B (A x); empty: none
  };
  // Null if the adapter does not change it.
  const Module* Find(uint32_t layer, Projection projection) const;

  uint32_t rank() const { return rank_; }
  uint32_t rank_columns() const { return (rank_ + 31) / 32 * 32; }  // what is past the rank is zero
  float scale() const { return scale_; }

 private:
  static size_t PlaceOf(uint32_t layer, Projection projection) {
    return size_t{layer} * kNumProjections + static_cast<size_t>(projection);
  }
  // `shape` packed into `memory`.
  static PackedMatrix Pack(PackedMatrix shape, const std::vector<float>& values, std::span<uint8_t> memory);

  std::shared_ptr<const RowGains> gains_;
  uint32_t rank_;
  float scale_;
  std::vector<Module> modules_;  // by layer, then by projection; without rows where the adapter changes nothing
  // In the order of use, so that what is fetched ahead of a product is the next one's: A of the projections that read the same
  // vectors, then their B.
  PageMemory memory_;
};

}  // namespace fleetune
