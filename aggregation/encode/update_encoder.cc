#include "aggregation/encode/update_encoder.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "aggregation/encode/rotation.h"
#include "aggregation/encode/stochastic_rounding.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

double L2Norm(std::span<const float> values) {
  double squares = 0;  // at most 2^28 * (2^128)^2: no overflow
  for (const float value : values) squares += double{value} * double{value};
  return std::sqrt(squares);
}

void Scale(std::span<float> values, double factor) {
  for (float& value : values) value = static_cast<float>(double{value} * factor);
}

double StepsNorm(std::span<const uint32_t> steps) {
  double squares = 0;
  for (const uint32_t step : steps) {
    const double number = static_cast<int32_t>(step);
    squares += number * number;
  }
  return std::sqrt(squares);
}

// How far coordinates are beyond +-range. They are not changed: rounding clamps them.
void Measure(std::span<const float> values, double factor, double range, EncodedInput& encoded) {
  double peak = 0;
  for (const float value : values) {
    const double size = std::abs(double{value}) * factor;
    encoded.clamped += size > range ? 1 : 0;
    peak = std::max(peak, size);
  }
  encoded.peak = peak / range;
}

}  // namespace

UpdateEncoder::UpdateEncoder(EncodingOptions options)
    : options_(std::move(options)),
      runs_(options_.groups.empty() ? std::vector<GroupRun>{{.length = options_.values, .group = 0}} : options_.groups),
      group_count_(GroupCount(options_)),
      ring_length_(RingLength(options_)),
      range_(CoordinateRange(options_)),
      steps_per_unit_(StepsPerUnit(options_)),
      share_unit_(static_cast<double>(ShareUnit(options_))) {}

absl::StatusOr<UpdateEncoder> UpdateEncoder::Create(EncodingOptions options) {
  RETURN_IF_ERROR(Validate(options));
  return UpdateEncoder(std::move(options));
}

absl::Status UpdateEncoder::CheckUntrained(const UpdateInput& input) const {
  uint64_t first = 0;
  for (const GroupRun& run : runs_) {
    const auto values = std::span(input.values).subspan(first, run.length);
    const bool trained = (input.trained_groups >> run.group & 1) != 0;
    const auto bad = trained ? values.end() : std::ranges::find_if(values, [](float value) { return value != 0; });
    if (bad != values.end()) {
      return absl::InvalidArgumentError("value " + std::to_string(first + static_cast<uint64_t>(bad - values.begin())) +
                                        " is not zero though its group " + std::to_string(run.group) +
                                        " was not trained");
    }
    first += run.length;
  }
  return absl::OkStatus();
}

absl::Status UpdateEncoder::CheckInput(const UpdateInput& input) const {
  if (input.values.size() != options_.values) {
    return absl::InvalidArgumentError("expected " + std::to_string(options_.values) + " values, got " +
                                      std::to_string(input.values.size()));
  }
  if (!(input.weight >= 0 && input.weight <= options_.max_weight)) {
    return absl::InvalidArgumentError("weight: expected a number in [0, " + std::to_string(options_.max_weight) +
                                      "], got " + std::to_string(input.weight));
  }
  if ((input.trained_groups & UINT64_MAX >> (64 - group_count_)) == 0) {
    return absl::InvalidArgumentError("no group was trained");
  }
  const auto bad = std::ranges::find_if_not(input.values, [](float value) { return std::isfinite(value); });
  if (bad != input.values.end()) {
    return absl::InvalidArgumentError("value " + std::to_string(bad - input.values.begin()) + " is not finite");
  }
  return CheckUntrained(input);
}

absl::StatusOr<EncodedInput> UpdateEncoder::Encode(UpdateInput input, RandomSource& random) const {
  RETURN_IF_ERROR(CheckInput(input));
  EncodedInput encoded;
  encoded.norm = L2Norm(input.values);
  encoded.clipped = encoded.norm > options_.clip_norm;
  // Before rotation, since sums of huge floats would overflow; and again after it, since floats rounded on the way
  // must not lift the norm over what privacy is computed from.
  if (encoded.clipped) Scale(input.values, options_.clip_norm / encoded.norm);
  if (options_.rotation.has_value()) Rotate(input.values, *options_.rotation);
  const double norm = L2Norm(input.values);
  const double shrink = norm > options_.clip_norm ? options_.clip_norm / norm : 1.0;

  Measure(input.values, shrink, range_, encoded);
  encoded.ring.resize(ring_length_);
  RoundValues(input.values, {.shrink = shrink, .share = input.weight / options_.max_weight}, random, encoded);
  AppendShares(input, random, encoded);
  for (uint32_t& element : encoded.ring) element &= LaneMask(options_.lane);
  return encoded;
}

void UpdateEncoder::RoundValues(std::span<const float> values, Factors factors, RandomSource& random,
                                EncodedInput& encoded) const {
  const std::span<uint32_t> ring = std::span(encoded.ring).first(values.size());
  const double scale = factors.shrink * factors.share * steps_per_unit_;
  // A derived scale times the range may come out above the integer that it was derived from.
  const double limit = factors.share * std::min(range_ * steps_per_unit_, static_cast<double>(MaxSteps(options_)));
  const auto steps = [&](float value) { return std::clamp(double{value} * scale, -limit, limit); };
  const int attempts = options_.rounded_norm_limit > 0 ? kMaxRoundingAttempts : 1;
  StochasticRounder rounder(random);
  for (int attempt = 0; attempt < attempts; ++attempt) {
    for (size_t i = 0; i < values.size(); ++i) {
      ring[i] = static_cast<uint32_t>(rounder.Round(steps(values[i]), values.size() - i));
    }
    if (attempts == 1 || StepsNorm(ring) <= options_.rounded_norm_limit) return;
  }
  for (size_t i = 0; i < values.size(); ++i) ring[i] = static_cast<uint32_t>(static_cast<int32_t>(steps(values[i])));
}

void UpdateEncoder::AppendShares(const UpdateInput& input, RandomSource& random, EncodedInput& encoded) const {
  StochasticRounder rounder(random);
  size_t next = options_.values;
  const auto append = [&](double share) {
    encoded.ring[next] = static_cast<uint32_t>(rounder.Round(share * share_unit_, ring_length_ - next));
    ++next;
  };
  const double weight = input.weight / options_.max_weight;
  for (uint32_t group = 0; group < group_count_; ++group) append((input.trained_groups >> group & 1) != 0 ? weight : 0);
  if (!options_.telemetry) return;
  append(static_cast<double>(encoded.clamped) / static_cast<double>(options_.values));
  append(encoded.clipped ? 1 : 0);
  append(std::min(1.0, encoded.peak));
}

absl::StatusOr<std::vector<double>> UpdateEncoder::GroupShares(std::span<const int32_t> sum, uint32_t counted) const {
  std::vector<double> shares(group_count_);
  for (uint32_t group = 0; group < group_count_; ++group) {
    shares[group] = sum[options_.values + group] / share_unit_;
    if (shares[group] < 0 || (!options_.wrap_allowed && shares[group] > counted)) {
      return absl::InvalidArgumentError("the total weight of a sum of " + std::to_string(counted) +
                                        " inputs must be 0 to " + std::to_string(counted) + " max_weight, got " +
                                        std::to_string(shares[group]) + " in group " + std::to_string(group));
    }
  }
  if (std::ranges::all_of(shares, [](double share) { return share == 0; })) {
    return absl::InvalidArgumentError("the total weight of a sum must be above 0");
  }
  return shares;
}

absl::StatusOr<DecodedUpdate> UpdateEncoder::Decode(std::span<const uint32_t> sum, uint32_t counted) const {
  CHECK(sum.size() == ring_length_);
  CHECK(counted >= 1 && counted <= options_.max_inputs);
  std::vector<int32_t> numbers(sum.size());
  for (size_t i = 0; i < sum.size(); ++i) numbers[i] = SignedElement(sum[i], options_.lane);
  return DecodeWide(numbers, counted);
}

absl::StatusOr<DecodedUpdate> UpdateEncoder::DecodeWide(std::span<const int32_t> sum, uint32_t counted) const {
  CHECK(sum.size() == ring_length_);
  CHECK(counted >= 1);
  ASSIGN_OR_RETURN(const std::vector<double> shares, GroupShares(sum, counted));

  DecodedUpdate decoded;
  decoded.mean.resize(options_.values);
  for (size_t i = 0; i < decoded.mean.size(); ++i) {
    decoded.mean[i] = static_cast<float>(sum[i] / steps_per_unit_);
  }
  if (options_.rotation.has_value()) RotateBack(decoded.mean, *options_.rotation);
  uint64_t first = 0;
  for (const GroupRun& run : runs_) {
    // What rotation smeared into a group that nobody trained is rounding error.
    const double share = shares[run.group];
    Scale(std::span(decoded.mean).subspan(first, run.length), share > 0 ? 1 / share : 0);
    first += run.length;
  }
  for (const double share : shares) decoded.group_weights.push_back(share * options_.max_weight);
  decoded.total_weight = *std::ranges::max_element(decoded.group_weights);

  if (options_.telemetry) {
    const auto average = [&](size_t which) {
      return std::clamp(sum[options_.values + group_count_ + which] / share_unit_ / counted, 0.0, 1.0);
    };
    decoded.telemetry = {
        .clamped_share = average(0), .clipped_devices_share = average(1), .mean_peak_share = average(2)};
  }
  return decoded;
}

}  // namespace fleetune
