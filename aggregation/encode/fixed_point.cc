#include "aggregation/encode/fixed_point.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "aggregation/encode/stochastic_rounding.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr uint32_t kMinFractionBits = 1;
constexpr uint32_t kMaxFractionBits = 28;
constexpr double kMaxClipNorm = 1e6;
constexpr double kMaxMaxWeight = 1e6;

double StepsPerUnit(const FixedPointOptions& options) { return std::ldexp(1.0, static_cast<int>(options.fraction_bits)); }

// Whether a sum of max_inputs elements, each rounded up, stays within the ring with its sign.
bool SumFits(const FixedPointOptions& options) {
  const double largest = std::ceil(StepsPerUnit(options) * std::max(options.clip_norm, 1.0)) + 1;
  return options.max_inputs * largest < 0x1p31;
}

absl::Status CheckSumFits(const FixedPointOptions& options) {
  if (SumFits(options)) return absl::OkStatus();
  FixedPointOptions fewer = options;
  while (fewer.fraction_bits > 0 && !SumFits(fewer)) --fewer.fraction_bits;
  const std::string advice =
      fewer.fraction_bits >= kMinFractionBits
          ? "fraction_bits = " + std::to_string(fewer.fraction_bits) + " would do"
          : "no fraction_bits would do; lower clip_norm or max_inputs";
  return absl::InvalidArgumentError(
      "fraction_bits: with " + std::to_string(options.fraction_bits) + " and clip_norm " +
      std::to_string(options.clip_norm) + " a sum of " + std::to_string(options.max_inputs) +
      " inputs could wrap around the 32-bit ring; " + advice);
}

absl::StatusOr<double> L2Norm(std::span<const float> values) {
  double squares = 0;  // at most 2^28 * (2^128)^2: no overflow
  for (const float value : values) squares += double{value} * double{value};
  if (std::isfinite(squares)) return std::sqrt(squares);
  const auto bad = std::ranges::find_if_not(values, [](float value) { return std::isfinite(value); });
  return absl::InvalidArgumentError("value " + std::to_string(bad - values.begin()) +
                                    " is not finite");
}

}  // namespace

absl::Status Validate(const FixedPointOptions& options) {
  if (!(options.clip_norm > 0 && options.clip_norm <= kMaxClipNorm)) {
    return absl::InvalidArgumentError("clip_norm: expected a number in (0, 1e6], got " +
                                      std::to_string(options.clip_norm));
  }
  if (options.fraction_bits < kMinFractionBits || options.fraction_bits > kMaxFractionBits) {
    return absl::InvalidArgumentError("fraction_bits: expected 1 to 28, got " +
                                      std::to_string(options.fraction_bits));
  }
  if (!(options.max_weight > 0 && options.max_weight <= kMaxMaxWeight)) {
    return absl::InvalidArgumentError("max_weight: expected a number in (0, 1e6], got " +
                                      std::to_string(options.max_weight));
  }
  if (options.max_inputs < 1 || options.max_inputs > kMaxSummedInputs) {
    return absl::InvalidArgumentError("max_inputs: expected 1 to " +
                                      std::to_string(kMaxSummedInputs) + ", got " +
                                      std::to_string(options.max_inputs));
  }
  return CheckSumFits(options);
}

absl::StatusOr<EncodedUpdate> EncodeUpdate(std::span<const float> values, double weight,
                                           const FixedPointOptions& options, RandomSource& random) {
  CHECK(Validate(options).ok());
  if (values.size() > kMaxEncodedValues) {
    return absl::ResourceExhaustedError("at most " + std::to_string(kMaxEncodedValues) +
                                        " values can be encoded, got " +
                                        std::to_string(values.size()));
  }
  if (!(weight >= 0 && weight <= options.max_weight)) {
    return absl::InvalidArgumentError("weight: expected a number in [0, " +
                                      std::to_string(options.max_weight) + "], got " +
                                      std::to_string(weight));
  }
  EncodedUpdate encoded;
  ASSIGN_OR_RETURN(encoded.norm, L2Norm(values));
  encoded.clipped = encoded.norm > options.clip_norm;

  const double steps_per_unit = StepsPerUnit(options);
  const double share = weight / options.max_weight;
  const double shrink = encoded.clipped ? options.clip_norm / encoded.norm : 1.0;
  const double scale = share * shrink * steps_per_unit;
  // Rounding of `shrink` must not lift a value over what Validate counted on.
  const double limit = options.clip_norm * steps_per_unit;
  StochasticRounder rounder(random);
  encoded.ring.resize(values.size() + 1);
  for (size_t i = 0; i < values.size(); ++i) {
    const double steps = std::clamp(double{values[i]} * scale, -limit, limit);
    encoded.ring[i] = static_cast<uint32_t>(rounder.Round(steps, values.size() + 1 - i));
  }
  encoded.ring.back() = static_cast<uint32_t>(rounder.Round(share * steps_per_unit, 1));
  return encoded;
}

absl::StatusOr<DecodedMean> DecodeMean(std::span<const uint32_t> sum,
                                       const FixedPointOptions& options) {
  CHECK(Validate(options).ok());
  CHECK(!sum.empty());
  const auto total = static_cast<int32_t>(sum.back());
  if (total <= 0) {
    return absl::InvalidArgumentError("the total weight of a sum must be above 0, got " +
                                      std::to_string(total / StepsPerUnit(options)));
  }
  DecodedMean decoded;
  decoded.total_weight = total / StepsPerUnit(options) * options.max_weight;
  decoded.mean.resize(sum.size() - 1);
  for (size_t i = 0; i < decoded.mean.size(); ++i) {
    const double steps = static_cast<int32_t>(sum[i]);
    decoded.mean[i] = static_cast<float>(steps / total);
  }
  return decoded;
}

std::vector<uint8_t> PackRing(std::span<const uint32_t> ring) {
  std::vector<uint8_t> bytes(ring.size_bytes());  // base/bytes.h asserts a little-endian machine
  if (!ring.empty()) std::memcpy(bytes.data(), ring.data(), bytes.size());
  return bytes;
}

absl::StatusOr<RingVector> UnpackRing(std::span<const uint8_t> bytes, uint64_t length) {
  if (length > kMaxEncodedValues + 1 || bytes.size() != length * sizeof(uint32_t)) {
    return absl::DataLossError("expected " + std::to_string(length) +
                               " ring elements of 4 bytes, got " + std::to_string(bytes.size()) +
                               " bytes");
  }
  RingVector ring(length);
  if (!ring.empty()) std::memcpy(ring.data(), bytes.data(), bytes.size());
  return ring;
}

}  // namespace fleetune
