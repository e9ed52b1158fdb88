#include "inference/kernels/blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "inference/kernels/super_blocks.h"

namespace fleetune {
namespace {

constexpr size_t kBlock = 32;  // weights of a Q4_0, Q5_0 or Q8_0 block

template <typename T>
T Load(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

template <typename T>
void Store(uint8_t* at, T value) {
  std::memcpy(at, &value, sizeof(T));
}

void DequantizeQ4_0(const uint8_t* block, float* values) {
  const float scale = HalfToFloat(Load<uint16_t>(block));
  const uint8_t* nibbles = block + 2;
  for (size_t j = 0; j < kBlock / 2; ++j) {
    values[j] = static_cast<float>((nibbles[j] & 15) - 8) * scale;
    values[j + kBlock / 2] = static_cast<float>((nibbles[j] >> 4) - 8) * scale;
  }
}

void DequantizeQ5_0(const uint8_t* block, float* values) {
  const float scale = HalfToFloat(Load<uint16_t>(block));
  const uint32_t fifth = Load<uint32_t>(block + 2);
  const uint8_t* nibbles = block + 6;
  for (uint32_t j = 0; j < kBlock / 2; ++j) {
    const int low = static_cast<int>((nibbles[j] & 15) | (fifth >> j & 1) << 4);
    const int high = static_cast<int>((nibbles[j] >> 4) | (fifth >> (j + 16) & 1) << 4);
    values[j] = static_cast<float>(low - 16) * scale;
    values[j + kBlock / 2] = static_cast<float>(high - 16) * scale;
  }
}

void DequantizeQ8_0(const uint8_t* block, float* values) {
  const float scale = HalfToFloat(Load<uint16_t>(block));
  for (size_t j = 0; j < kBlock; ++j)
    values[j] = static_cast<float>(static_cast<int8_t>(block[2 + j])) * scale;
}

// The value of largest magnitude, with its sign.
float Extreme(const float* values) {
  float extreme = 0;
  for (size_t j = 0; j < kBlock; ++j) {
    if (std::fabs(values[j]) > std::fabs(extreme)) extreme = values[j];
  }
  return extreme;
}

// x * inverse is within [-half, half], so the sum is within [0.5, 2 * half + 0.5].
uint8_t QuantizeUnsigned(float x, float inverse, int half) {
  const float shifted = x * inverse + static_cast<float>(half) + 0.5f;
  return static_cast<uint8_t>(std::clamp(static_cast<int>(shifted), 0, 2 * half - 1));
}

// Of a block of zeros, or of values so small that the inverse would overflow, the inverse is 0.
float InverseOf(float scale) {
  const float inverse = scale == 0 ? 0 : 1 / scale;
  return std::isfinite(inverse) ? inverse : 0;
}

void QuantizeQ4_0(const float* values, uint8_t* block) {
  const float scale = Extreme(values) / -8;
  const float inverse = InverseOf(scale);
  Store(block, FloatToHalf(scale));
  for (size_t j = 0; j < kBlock / 2; ++j) {
    const uint8_t low = QuantizeUnsigned(values[j], inverse, 8);
    const uint8_t high = QuantizeUnsigned(values[j + kBlock / 2], inverse, 8);
    block[2 + j] = static_cast<uint8_t>(low | high << 4);
  }
}

void QuantizeQ5_0(const float* values, uint8_t* block) {
  const float scale = Extreme(values) / -16;
  const float inverse = InverseOf(scale);
  Store(block, FloatToHalf(scale));
  uint32_t fifth = 0;
  for (uint32_t j = 0; j < kBlock / 2; ++j) {
    const uint32_t low = QuantizeUnsigned(values[j], inverse, 16);
    const uint32_t high = QuantizeUnsigned(values[j + kBlock / 2], inverse, 16);
    block[6 + j] = static_cast<uint8_t>((low & 15) | (high & 15) << 4);
    fifth |= low >> 4 << j | high >> 4 << (j + 16);
  }
  Store(block + 2, fifth);
}

void QuantizeQ8_0(const float* values, uint8_t* block) {
  const float scale = std::fabs(Extreme(values)) / 127;
  const float inverse = InverseOf(scale);
  Store(block, FloatToHalf(scale));
  for (size_t j = 0; j < kBlock; ++j) {
    const int rounded = std::clamp(static_cast<int>(std::round(values[j] * inverse)), -127, 127);
    block[2 + j] = static_cast<uint8_t>(static_cast<int8_t>(rounded));
  }
}

void CheckSizes(TensorType type, size_t values, size_t bytes) {
  CHECK(values % BlockElements(type) == 0);
  CHECK(bytes == values / BlockElements(type) * BlockBytes(type));
}

}  // namespace

void Dequantize(TensorType type, std::span<const uint8_t> blocks, std::span<float> values) {
  CheckSizes(type, values.size(), blocks.size());
  const size_t count = values.size();
  const uint8_t* in = blocks.data();
  float* out = values.data();
  switch (type) {
    case TensorType::kF32:
      if (count > 0) std::memcpy(out, in, count * sizeof(float));
      return;
    case TensorType::kF16:
      for (size_t i = 0; i < count; ++i) out[i] = HalfToFloat(Load<uint16_t>(in + 2 * i));
      return;
    case TensorType::kBF16:
      for (size_t i = 0; i < count; ++i) out[i] = BfloatToFloat(Load<uint16_t>(in + 2 * i));
      return;
    case TensorType::kQ4_0:
      for (size_t i = 0; i < count; i += kBlock) DequantizeQ4_0(in + i / kBlock * 18, out + i);
      return;
    case TensorType::kQ5_0:
      for (size_t i = 0; i < count; i += kBlock) DequantizeQ5_0(in + i / kBlock * 22, out + i);
      return;
    case TensorType::kQ8_0:
      for (size_t i = 0; i < count; i += kBlock) DequantizeQ8_0(in + i / kBlock * 34, out + i);
      return;
    case TensorType::kQ4_K:
      for (size_t i = 0; i < count; i += kSuperBlock) DequantizeQ4K(in + i / kSuperBlock * kQ4KBytes, out + i);
      return;
    case TensorType::kQ6_K:
      for (size_t i = 0; i < count; i += kSuperBlock) DequantizeQ6K(in + i / kSuperBlock * kQ6KBytes, out + i);
      return;
  }
}

void Quantize(TensorType type, std::span<const float> values, std::span<uint8_t> blocks) {
  CheckSizes(type, values.size(), blocks.size());
  const size_t count = values.size();
  const float* in = values.data();
  uint8_t* out = blocks.data();
  switch (type) {
    case TensorType::kF32:
      if (count > 0) std::memcpy(out, in, count * sizeof(float));
      return;
    case TensorType::kF16:
      for (size_t i = 0; i < count; ++i) Store(out + 2 * i, FloatToHalf(in[i]));
      return;
    case TensorType::kBF16:
      for (size_t i = 0; i < count; ++i) Store(out + 2 * i, FloatToBfloat(in[i]));
      return;
    case TensorType::kQ4_0:
      for (size_t i = 0; i < count; i += kBlock) QuantizeQ4_0(in + i, out + i / kBlock * 18);
      return;
    case TensorType::kQ5_0:
      for (size_t i = 0; i < count; i += kBlock) QuantizeQ5_0(in + i, out + i / kBlock * 22);
      return;
    case TensorType::kQ8_0:
      for (size_t i = 0; i < count; i += kBlock) QuantizeQ8_0(in + i, out + i / kBlock * 34);
      return;
    case TensorType::kQ4_K:
      for (size_t i = 0; i < count; i += kSuperBlock) QuantizeQ4K(in + i, out + i / kSuperBlock * kQ4KBytes);
      return;
    case TensorType::kQ6_K:
      for (size_t i = 0; i < count; i += kSuperBlock) QuantizeQ6K(in + i, out + i / kSuperBlock * kQ6KBytes);
      return;
  }
}

}  // namespace fleetune
