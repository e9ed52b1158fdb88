#include "lora/train/weight_rows.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "inference/kernels/blocks.h"
#include "lora/train/bfloat.h"
#include "lora/train/simd_clones.h"

namespace fleetune {
namespace {

constexpr size_t kBlock = 32;   // weights of a Q4_0 or Q8_0 block
constexpr size_t kPiece = 256;  // weights of other types that are converted at a time; a multiple of every block
constexpr size_t kQ4Bytes = 18;
constexpr size_t kQ8Bytes = 34;

inline void Store(float value, float* out) { *out = value; }
inline void Store(float value, uint16_t* out) { *out = RoundToBfloat(value); }

// Scales are converted apart, some blocks at a time, so that the loop over weights holds no call.
constexpr size_t kScales = 8;

template <size_t block_bytes>
inline size_t ReadScales(const uint8_t* blocks, size_t count, float* scales) {
  const size_t taken = std::min(count, kScales);
  for (size_t i = 0; i < taken; ++i) {
    uint16_t half;
    std::memcpy(&half, blocks + i * block_bytes, sizeof(half));
    scales[i] = HalfToFloat(half);
  }
  return taken;
}

template <typename T>
inline __attribute__((always_inline)) void Q4Blocks(const uint8_t* in, const float* scales, size_t count, T* out) {
  for (size_t i = 0; i < count; ++i, in += kQ4Bytes, out += kBlock) {
    const float scale = scales[i];
    for (size_t j = 0; j < kBlock / 2; ++j) {
      Store(static_cast<float>((in[2 + j] & 15) - 8) * scale, out + j);
      Store(static_cast<float>((in[2 + j] >> 4) - 8) * scale, out + j + kBlock / 2);
    }
  }
}

template <typename T>
inline __attribute__((always_inline)) void Q8Blocks(const uint8_t* in, const float* scales, size_t count, T* out) {
  for (size_t i = 0; i < count; ++i, in += kQ8Bytes, out += kBlock) {
    const float scale = scales[i];
    for (size_t j = 0; j < kBlock; ++j) Store(static_cast<float>(static_cast<int8_t>(in[2 + j])) * scale, out + j);
  }
}

// A clone of each for both results: attributes of clones and templates do not go together.
FLEETUNE_SIMD_CLONES
void Q4ToFloats(const uint8_t* in, const float* scales, size_t count, float* out) { Q4Blocks(in, scales, count, out); }
FLEETUNE_SIMD_CLONES
void Q4ToBfloats(const uint8_t* in, const float* scales, size_t count, uint16_t* out) {
  Q4Blocks(in, scales, count, out);
}
FLEETUNE_SIMD_CLONES
void Q8ToFloats(const uint8_t* in, const float* scales, size_t count, float* out) { Q8Blocks(in, scales, count, out); }
FLEETUNE_SIMD_CLONES
void Q8ToBfloats(const uint8_t* in, const float* scales, size_t count, uint16_t* out) {
  Q8Blocks(in, scales, count, out);
}

void Blocks(const uint8_t* in, const float* scales, size_t count, float* out, TensorType type) {
  type == TensorType::kQ4_0 ? Q4ToFloats(in, scales, count, out) : Q8ToFloats(in, scales, count, out);
}
void Blocks(const uint8_t* in, const float* scales, size_t count, uint16_t* out, TensorType type) {
  type == TensorType::kQ4_0 ? Q4ToBfloats(in, scales, count, out) : Q8ToBfloats(in, scales, count, out);
}

template <size_t block_bytes, typename T>
void ReadQuantized(TensorType type, std::span<const uint8_t> blocks, std::span<T> out) {
  const uint8_t* in = blocks.data();
  std::array<float, kScales> scales;
  for (size_t begin = 0; begin < out.size();) {
    const size_t taken = ReadScales<block_bytes>(in, (out.size() - begin) / kBlock, scales.data());
    Blocks(in, scales.data(), taken, out.data() + begin, type);
    in += taken * block_bytes;
    begin += taken * kBlock;
  }
}

template <typename T>
bool ReadCommon(TensorType type, std::span<const uint8_t> blocks, std::span<T> out) {
  if (type != TensorType::kQ4_0 && type != TensorType::kQ8_0) return false;
  CHECK(out.size() % kBlock == 0 && blocks.size() == out.size() / kBlock * BlockBytes(type));
  type == TensorType::kQ4_0 ? ReadQuantized<kQ4Bytes>(type, blocks, out) : ReadQuantized<kQ8Bytes>(type, blocks, out);
  return true;
}

}  // namespace

void ReadWeightRows(TensorType type, std::span<const uint8_t> blocks, std::span<float> values) {
  if (!ReadCommon(type, blocks, values)) Dequantize(type, blocks, values);
}

void ReadWeightRows(TensorType type, std::span<const uint8_t> blocks, std::span<uint16_t> bfloats) {
  if (ReadCommon(type, blocks, bfloats)) return;
  CHECK(bfloats.size() % BlockElements(type) == 0);
  std::array<float, kPiece> piece;
  for (size_t begin = 0; begin < bfloats.size(); begin += kPiece) {
    const std::span<uint16_t> part = bfloats.subspan(begin, std::min(kPiece, bfloats.size() - begin));
    const std::span<float> values(piece.data(), part.size());
    const size_t at = begin / BlockElements(type) * BlockBytes(type);
    Dequantize(type, blocks.subspan(at, part.size() / BlockElements(type) * BlockBytes(type)), values);
    ToBfloats(values, part);
  }
}

}  // namespace fleetune
