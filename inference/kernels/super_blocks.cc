#include "inference/kernels/super_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "inference/kernels/blocks.h"

namespace fleetune {
namespace {

float LoadHalf(const uint8_t* at) {
  uint16_t half;
  std::memcpy(&half, at, sizeof(half));
  return HalfToFloat(half);
}

// Stores the value and returns what will be read back.
float StoreHalf(float value, uint8_t* at) {
  const uint16_t half = FloatToHalf(value);
  std::memcpy(at, &half, sizeof(half));
  return HalfToFloat(half);
}

// Of scales that are zero, or so small that the inverse would overflow, the inverse is 0.
float InverseOf(float scale) {
  const float inverse = scale == 0 ? 0 : 1 / scale;
  return std::isfinite(inverse) ? inverse : 0;
}

int Rounded(float value, int least, int most) {
  return std::clamp(static_cast<int>(std::nearbyint(value)), least, most);
}

constexpr size_t kQ4KGroup = 32;
constexpr size_t kQ6KGroup = 16;

// Twelve bytes hold eight scales and eight mins of six bits: the first four of each plainly, with the upper two bits of
// the last four above them; then the lower four bits of the last four.
void PackSixBits(const uint8_t* scales, const uint8_t* mins, uint8_t* out) {
  for (size_t j = 0; j < 4; ++j) {
    out[j] = static_cast<uint8_t>(scales[j] | scales[j + 4] >> 4 << 6);
    out[j + 4] = static_cast<uint8_t>(mins[j] | mins[j + 4] >> 4 << 6);
    out[j + 8] = static_cast<uint8_t>((scales[j + 4] & 15) | (mins[j + 4] & 15) << 4);
  }
}

// Where code i of a Q6_K block lies: halves of 128 in which i and i + 64 share a byte of four bits each, and four codes,
// 32 apart, a byte of two bits each.
struct Q6KPlace {
  size_t low_byte, low_shift;    // in the first 128 bytes
  size_t high_byte, high_shift;  // in the 64 bytes after them
};
Q6KPlace PlaceOf(size_t i) {
  const size_t half = i / 128;
  const size_t in_half = i % 128;
  return {.low_byte = half * 64 + in_half % 64,
          .low_shift = in_half / 64 * 4,
          .high_byte = 128 + half * 32 + in_half % 32,
          .high_shift = in_half / 32 * 2};
}

}  // namespace

Q4KBlock ReadQ4K(const uint8_t* block) {
  Q4KBlock read;
  read.scale = LoadHalf(block);
  read.min = LoadHalf(block + 2);
  const uint8_t* six = block + 4;
  for (size_t j = 0; j < 4; ++j) {
    read.scales[j] = six[j] & 63;
    read.mins[j] = six[j + 4] & 63;
    read.scales[j + 4] = static_cast<uint8_t>((six[j + 8] & 15) | six[j] >> 6 << 4);
    read.mins[j + 4] = static_cast<uint8_t>(six[j + 8] >> 4 | six[j + 4] >> 6 << 4);
  }
  const uint8_t* nibbles = block + 16;
  for (size_t i = 0; i < kSuperBlock; ++i) {
    const size_t group = i / kQ4KGroup;
    read.codes[i] = nibbles[group / 2 * kQ4KGroup + i % kQ4KGroup] >> (group % 2 * 4) & 15;
  }
  return read;
}

Q6KBlock ReadQ6K(const uint8_t* block) {
  Q6KBlock read;
  for (size_t i = 0; i < kSuperBlock; ++i) {
    const Q6KPlace place = PlaceOf(i);
    const int low = block[place.low_byte] >> place.low_shift & 15;
    const int high = block[place.high_byte] >> place.high_shift & 3;
    read.codes[i] = static_cast<uint8_t>(low | high << 4);
  }
  std::memcpy(read.scales, block + 192, sizeof(read.scales));
  read.scale = LoadHalf(block + 208);
  return read;
}

void DequantizeQ4K(const uint8_t* block, float* values) {
  const Q4KBlock read = ReadQ4K(block);
  for (size_t i = 0; i < kSuperBlock; ++i) {
    const float scale = read.scale * read.scales[i / kQ4KGroup];
    values[i] = scale * read.codes[i] - read.min * read.mins[i / kQ4KGroup];
  }
}

void DequantizeQ6K(const uint8_t* block, float* values) {
  const Q6KBlock read = ReadQ6K(block);
  for (size_t i = 0; i < kSuperBlock; ++i) {
    values[i] = read.scale * read.scales[i / kQ6KGroup] * static_cast<float>(read.codes[i] - 32);
  }
}

void QuantizeQ4K(const float* values, uint8_t* block) {
  float steps[8];
  float depths[8];  // how far below zero a group reaches
  for (size_t g = 0; g < 8; ++g) {
    const auto [least, most] = std::minmax_element(values + g * kQ4KGroup, values + (g + 1) * kQ4KGroup);
    depths[g] = std::max(0.0f, -*least);
    steps[g] = std::max(0.0f, *most + depths[g]) / 15;
  }
  const float scale = StoreHalf(*std::max_element(steps, steps + 8) / 63, block);
  const float min = StoreHalf(*std::max_element(depths, depths + 8) / 63, block + 2);
  uint8_t scales[8];
  uint8_t mins[8];
  std::memset(block + 16, 0, 128);
  for (size_t g = 0; g < 8; ++g) {
    scales[g] = static_cast<uint8_t>(Rounded(steps[g] * InverseOf(scale), 0, 63));
    mins[g] = static_cast<uint8_t>(Rounded(depths[g] * InverseOf(min), 0, 63));
    const float inverse = InverseOf(scale * scales[g]);
    for (size_t i = 0; i < kQ4KGroup; ++i) {
      const int code = Rounded((values[g * kQ4KGroup + i] + min * mins[g]) * inverse, 0, 15);
      block[16 + g / 2 * kQ4KGroup + i] |= static_cast<uint8_t>(code << (g % 2 * 4));
    }
  }
  PackSixBits(scales, mins, block + 4);
}

void QuantizeQ6K(const float* values, uint8_t* block) {
  float steps[16];  // signed: the value of largest magnitude becomes code 0
  float largest = 0;
  for (size_t g = 0; g < 16; ++g) {
    const auto* group = values + g * kQ6KGroup;
    const float extreme = *std::max_element(group, group + kQ6KGroup,
                                            [](float x, float y) { return std::fabs(x) < std::fabs(y); });
    steps[g] = extreme / -32;
    largest = std::max(largest, std::fabs(steps[g]));
  }
  std::memset(block, 0, 192);
  const float scale = StoreHalf(largest / 127, block + 208);
  for (size_t g = 0; g < 16; ++g) {
    const auto group_scale = static_cast<int8_t>(Rounded(steps[g] * InverseOf(scale), -127, 127));
    block[192 + g] = static_cast<uint8_t>(group_scale);
    const float inverse = InverseOf(scale * group_scale);
    for (size_t i = g * kQ6KGroup; i < (g + 1) * kQ6KGroup; ++i) {
      const int code = Rounded(values[i] * inverse, -32, 31) + 32;
      const Q6KPlace place = PlaceOf(i);
      block[place.low_byte] |= static_cast<uint8_t>((code & 15) << place.low_shift);
      block[place.high_byte] |= static_cast<uint8_t>(code >> 4 << place.high_shift);
    }
  }
}

}  // namespace fleetune
