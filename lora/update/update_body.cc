#include "lora/update/update_body.h"

#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

// Above it level 9 gains less than 1 % on int8 rows and costs several times the time.
constexpr int kCompressionLevel = 9;
constexpr float kMaxQ = 127;
// Smaller scales are sent as zero: then a product of scale and q is never a subnormal number, which
// some processors flush to zero.
constexpr float kMinScale = 0x1p-100f;

// A scale is the upper half of an f32 (bfloat16).
float ScaleFromBits(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// The smallest bfloat16 that is not below `value`; zero if that is below kMinScale.
// Requires a finite value >= 0.
uint16_t ScaleBitsAtLeast(float value) {
  const auto bits = static_cast<uint16_t>((std::bit_cast<uint32_t>(value) + 0xffffu) >> 16);
  return ScaleFromBits(bits) < kMinScale ? 0 : bits;
}

bool IsAllowedScale(float scale) {
  return std::isfinite(scale) && (std::bit_cast<uint32_t>(scale) == 0 || scale >= kMinScale);
}

// The one rule of decoding, for both sides. The product of 8 by 8 bits is exact; a zero is +0.
float DecodedValue(float scale, uint8_t q) {
  return scale == 0 ? 0 : scale * static_cast<float>(static_cast<int8_t>(q));
}

// The nearest q, halves away from zero. It cannot leave [-127, 127] by more than rounding.
uint8_t NearestQ(float value, float scale) {
  if (scale == 0) return 0;
  const float q = std::clamp(std::round(value / scale), -kMaxQ, kMaxQ);
  return static_cast<uint8_t>(static_cast<int8_t>(q));
}

// The length of every row, in the order of the values.
std::vector<uint32_t> RowLengths(const AdapterSpec& spec, Factors factors) {
  std::vector<uint32_t> lengths;
  if (HasA(factors)) {
    for (const LoraModule& module : spec.modules()) lengths.insert(lengths.end(), spec.rank(), module.in);
  }
  if (HasB(factors)) {
    for (const LoraModule& module : spec.modules()) lengths.insert(lengths.end(), spec.rank(), module.out);
  }
  return lengths;
}

Bytes Compress(std::span<const uint8_t> plain) {
  Bytes packed(ZSTD_compressBound(plain.size()));
  const size_t size =
      ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), kCompressionLevel);
  CHECK(!ZSTD_isError(size));
  packed.resize(size);
  return packed;
}

// Unpacks to exactly `expected` bytes, and never to more memory than that.
absl::StatusOr<Bytes> Decompress(std::span<const uint8_t> packed, uint64_t expected) {
  Bytes plain(expected);
  const size_t size = ZSTD_decompress(plain.data(), plain.size(), packed.data(), packed.size());
  if (ZSTD_isError(size)) {
    if (ZSTD_getErrorCode(size) == ZSTD_error_dstSize_tooSmall) {
      return absl::ResourceExhaustedError("the update's body unpacks to more than the " +
                                          std::to_string(expected) + " bytes of its adapter");
    }
    return absl::DataLossError(std::string("the update's body does not unpack: ") +
                               ZSTD_getErrorName(size));
  }
  if (size != expected) {
    return absl::DataLossError("the update's body unpacks to " + std::to_string(size) +
                               " bytes, expected " + std::to_string(expected));
  }
  return plain;
}

}  // namespace

QuantizedStep QuantizeStep(const AdapterSpec& spec, Factors factors, std::span<const float> step) {
  CHECK(step.size() == FloatsOf(spec, factors));
  const std::vector<uint32_t> lengths = RowLengths(spec, factors);
  const size_t rows = lengths.size();
  // Low bytes of all scales, then high bytes (which repeat), then all q.
  Bytes plain(2 * rows + step.size());
  QuantizedStep quantized;
  quantized.decoded.resize(step.size());
  size_t start = 0;
  for (size_t row = 0; row < rows; ++row) {
    float largest = 0;
    for (const float value : step.subspan(start, lengths[row])) {
      CHECK(std::isfinite(value));
      largest = std::max(largest, std::abs(value));
    }
    const uint16_t bits = ScaleBitsAtLeast(largest / kMaxQ);
    const float scale = ScaleFromBits(bits);
    plain[row] = static_cast<uint8_t>(bits & 0xff);
    plain[rows + row] = static_cast<uint8_t>(bits >> 8);
    for (size_t i = start; i < start + lengths[row]; ++i) {
      plain[2 * rows + i] = NearestQ(step[i], scale);
      quantized.decoded[i] = DecodedValue(scale, plain[2 * rows + i]);
    }
    start += lengths[row];
  }
  quantized.body = Compress(plain);
  return quantized;
}

absl::StatusOr<std::vector<float>> ReadQuantizedStep(const AdapterSpec& spec, Factors factors,
                                                     std::span<const uint8_t> body) {
  const std::vector<uint32_t> lengths = RowLengths(spec, factors);
  const size_t rows = lengths.size();
  const uint64_t size = FloatsOf(spec, factors);
  ASSIGN_OR_RETURN(const Bytes plain, Decompress(body, 2 * rows + size));
  std::vector<float> decoded(size);
  size_t start = 0;
  for (size_t row = 0; row < rows; ++row) {
    const float scale =
        ScaleFromBits(static_cast<uint16_t>(plain[row] | plain[rows + row] << 8));
    if (!IsAllowedScale(scale)) {
      return absl::DataLossError("the scale of row " + std::to_string(row) + " is not allowed");
    }
    for (size_t i = start; i < start + lengths[row]; ++i) {
      decoded[i] = DecodedValue(scale, plain[2 * rows + i]);
    }
    start += lengths[row];
  }
  return decoded;
}

// In byte planes, lowest byte first: the planes of sign and exponent compress, the others do not.
Bytes PackSnapshot(std::span<const float> values) {
  Bytes plain(values.size_bytes());
  for (size_t i = 0; i < values.size(); ++i) {
    const auto bits = std::bit_cast<uint32_t>(values[i]);
    for (size_t plane = 0; plane < 4; ++plane) {
      plain[plane * values.size() + i] = static_cast<uint8_t>(bits >> (8 * plane));
    }
  }
  return Compress(plain);
}

absl::StatusOr<std::vector<float>> ReadSnapshot(const AdapterSpec& spec, Factors factors,
                                                std::span<const uint8_t> body) {
  const uint64_t size = FloatsOf(spec, factors);
  ASSIGN_OR_RETURN(const Bytes plain, Decompress(body, size * sizeof(float)));
  std::vector<float> values(size);
  for (size_t i = 0; i < size; ++i) {
    uint32_t bits = 0;
    for (size_t plane = 0; plane < 4; ++plane) bits |= uint32_t{plain[plane * size + i]} << (8 * plane);
    values[i] = std::bit_cast<float>(bits);
  }
  return values;
}

}  // namespace fleetune
