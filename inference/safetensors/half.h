#pragma once

#include <cstdint>

namespace fleetune {

// IEEE 754 binary16 as f32: exact, subnormal numbers, infinities and NaN included.
float FloatFromHalf(uint16_t half);

// bfloat16, the upper half of an f32, as f32: exact.
float FloatFromBfloat16(uint16_t bits);

}  // namespace fleetune
