#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "inference/kernels/packed_matrix.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

// An adapter for products beside its base's: A and B quantized to int8 as Q8_0 does (an error of half a per cent of what
// the adapter adds) and packed. Immutable, so thread-safe.
class PackedAdapter {
 public:
  explicit PackedAdapter(const Adapter& adapter);

  struct Module {
    PackedMatrix a;  // rank rows of `in`; F32 if `in` is no multiple of 32
    PackedMatrix b;  // `out` rows of rank_columns
  };
  // Null if the adapter does not change it.
  const Module* Find(uint32_t layer, Projection projection) const;

  uint32_t rank() const { return rank_; }
  uint32_t rank_columns() const { return (rank_ + 31) / 32 * 32; }  // what is past the rank is zero
  float scale() const { return scale_; }

 private:
  struct alignas(64) Line {
    uint8_t bytes[64];
  };
  PackedMatrix Pack(TensorType type, uint64_t rows, uint64_t columns, const std::vector<float>& values);

  uint32_t rank_;
  float scale_;
  std::map<std::pair<uint32_t, Projection>, Module> modules_;
  std::vector<std::vector<Line>> memory_;
};

}  // namespace fleetune
