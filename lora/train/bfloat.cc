#include "lora/train/bfloat.h"

#include "base/check.h"
#include "lora/train/simd_clones.h"

namespace fleetune {
namespace {

FLEETUNE_SIMD_CLONES
void ToLoop(const float* values, uint16_t* out, size_t n) {
  for (size_t i = 0; i < n; ++i) out[i] = RoundToBfloat(values[i]);
}

FLEETUNE_SIMD_CLONES
void FromLoop(const uint16_t* values, float* out, size_t n) {
  for (size_t i = 0; i < n; ++i) out[i] = BfloatValue(values[i]);
}

}  // namespace

void ToBfloats(std::span<const float> values, std::span<uint16_t> out) {
  CHECK(values.size() == out.size());
  ToLoop(values.data(), out.data(), values.size());
}

void FromBfloats(std::span<const uint16_t> values, std::span<float> out) {
  CHECK(values.size() == out.size());
  FromLoop(values.data(), out.data(), values.size());
}

}  // namespace fleetune
