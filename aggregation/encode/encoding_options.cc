#include "aggregation/encode/encoding_options.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr double kMinClipNorm = 1e-12;
constexpr double kMaxClipNorm = 1e6;
constexpr double kMaxMaxWeight = 1e6;
constexpr double kMaxRangeFactor = 1000;
constexpr double kMaxScale = 1e18;

// Half of the ring: what a signed sum must stay below.
int64_t Half(LaneBits lane) { return int64_t{1} << (BitsOf(lane) - 1); }

int64_t DerivedMaxSteps(LaneBits lane, uint32_t inputs) { return (Half(lane) - 1) / inputs - 1; }

// Even the narrowest lane and the largest sum leave steps to round to, so a derived scale never fails.
static_assert((32768 - 1) / kMaxSummedInputs - 1 >= 6);

absl::Status OutOfRange(const std::string& field, const std::string& expected, double got) {
  return absl::InvalidArgumentError(field + ": expected " + expected + ", got " + std::to_string(got));
}

bool Fits(LaneBits lane, double max_steps, const EncodingOptions& options) {
  const auto half = static_cast<double>(Half(lane));
  return options.wrap_allowed ? max_steps < half : options.max_inputs * (max_steps + 1) < half;
}

absl::Status CheckScale(const EncodingOptions& options) {
  if (!(options.scale >= 0 && options.scale <= kMaxScale)) return OutOfRange("scale", "0 to 1e18", options.scale);
  if (options.scale == 0) {
    if (!options.wrap_allowed) return absl::OkStatus();
    return absl::InvalidArgumentError("scale: must be given where sums may wrap around");
  }
  const double max_steps = std::ceil(options.scale * CoordinateRange(options));
  if (Fits(options.lane, max_steps, options)) return absl::OkStatus();
  std::string advice = "no lane would do; lower scale or max_inputs";
  for (const LaneBits lane : kAllLaneBits) {
    if (!Fits(lane, max_steps, options)) continue;
    advice = std::to_string(BitsOf(lane)) + " bits would do";
    break;
  }
  return absl::InvalidArgumentError("lane: in " + std::to_string(BitsOf(options.lane)) +
                                    " bits, with values of up to " + std::to_string(max_steps) + " steps, " +
                                    (options.wrap_allowed
                                         ? std::string("a single input")
                                         : "a sum of " + std::to_string(options.max_inputs) + " inputs") +
                                    " could wrap around; " + advice);
}

absl::Status CheckGroups(const EncodingOptions& options) {
  uint64_t covered = 0;
  uint64_t seen = 0;
  for (const GroupRun& run : options.groups) {
    if (run.group >= kMaxGroups) return OutOfRange("groups", "numbers below 64", run.group);
    if (run.length == 0 || run.length > options.values - covered) {
      return OutOfRange("groups", "runs of at least one value that cover " + std::to_string(options.values) + " values",
                        static_cast<double>(run.length));
    }
    covered += run.length;
    seen |= uint64_t{1} << run.group;
  }
  if (options.groups.empty()) return absl::OkStatus();
  if (covered != options.values) {
    return OutOfRange("groups", "runs that cover " + std::to_string(options.values) + " values",
                      static_cast<double>(covered));
  }
  if ((seen & (seen + 1)) != 0) return absl::InvalidArgumentError("groups: a number below the highest has no run");
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const EncodingOptions& options) {
  if (options.values < 1 || options.values > kMaxEncodedValues) {
    return OutOfRange("values", "1 to " + std::to_string(kMaxEncodedValues), static_cast<double>(options.values));
  }
  if (!(options.clip_norm >= kMinClipNorm && options.clip_norm <= kMaxClipNorm)) {
    return OutOfRange("clip_norm", "a number in [1e-12, 1e6]", options.clip_norm);
  }
  if (!(options.max_weight > 0 && options.max_weight <= kMaxMaxWeight)) {
    return OutOfRange("max_weight", "a number in (0, 1e6]", options.max_weight);
  }
  RETURN_IF_ERROR(LaneFromBits(BitsOf(options.lane)).status());
  if (options.max_inputs < 1 || options.max_inputs > kMaxSummedInputs) {
    return OutOfRange("max_inputs", "1 to " + std::to_string(kMaxSummedInputs), options.max_inputs);
  }
  if (!(options.range_factor >= 1 && options.range_factor <= kMaxRangeFactor)) {
    return OutOfRange("range_factor", "1 to 1000", options.range_factor);
  }
  RETURN_IF_ERROR(CheckScale(options));
  const double least_limit = StepsPerUnit(options) * options.clip_norm;
  if (options.rounded_norm_limit != 0 && !(options.rounded_norm_limit >= least_limit)) {
    return OutOfRange("rounded_norm_limit", "0 or at least scale * clip_norm = " + std::to_string(least_limit),
                      options.rounded_norm_limit);
  }
  return CheckGroups(options);
}

uint32_t GroupCount(const EncodingOptions& options) {
  uint32_t highest = 0;
  for (const GroupRun& run : options.groups) highest = std::max(highest, run.group);
  return highest + 1;
}

uint64_t RingLength(const EncodingOptions& options) {
  return options.values + GroupCount(options) + (options.telemetry ? kTelemetryElements : 0);
}

double CoordinateRange(const EncodingOptions& options) {
  if (!options.rotation.has_value()) return options.clip_norm;
  const double flat = options.range_factor / std::sqrt(static_cast<double>(options.values));
  return options.clip_norm * std::min(1.0, flat);
}

double StepsPerUnit(const EncodingOptions& options) {
  if (options.scale > 0) return options.scale;
  return static_cast<double>(DerivedMaxSteps(options.lane, options.max_inputs)) / CoordinateRange(options);
}

int64_t MaxSteps(const EncodingOptions& options) {
  if (options.scale == 0) return DerivedMaxSteps(options.lane, options.max_inputs);
  return static_cast<int64_t>(std::ceil(options.scale * CoordinateRange(options)));
}

int64_t ShareUnit(const EncodingOptions& options) { return (Half(options.lane) - 1) / options.max_inputs; }

}  // namespace fleetune
