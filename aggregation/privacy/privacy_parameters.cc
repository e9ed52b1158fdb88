#include "aggregation/privacy/privacy_parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <optional>
#include <vector>

#include "aggregation/privacy/rdp_accountant.h"
#include "aggregation/privacy/skellam_sampler.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr int kLanes[] = {16, 24, 32};
constexpr double kHeadrooms[] = {kMaxHeadroomDeviations, 12, 8, 6, 5, kMinHeadroomDeviations};
constexpr uint32_t kMinDevices = 3;
constexpr uint32_t kMaxDevices = 4096;
constexpr uint64_t kMaxDimension = uint64_t{1} << 28;

absl::Status OutOfRange(const char* field, double value, const char* range) {
  return absl::InvalidArgumentError(fmt::format("{} is {}, not in {}", field, value, range));
}

absl::Status TooDear(const DifferentialPrivacy& privacy, double epsilon) {
  // Within the overhead that integers are allowed, or the advice would be refused in its turn.
  const double target = privacy.device_epsilon_limit / (1 + privacy.rounding_overhead);
  ASSIGN_OR_RETURN(const double multiplier, NoiseMultiplierFor({.epsilon = target, .delta = privacy.delta}));
  return absl::InvalidArgumentError(fmt::format(
      "one cell costs a device epsilon {:.4g} at delta {:.3g}, over its limit of {:.4g}: a noise_multiplier "
      "of {:.4g} would do",
      epsilon, privacy.delta, privacy.device_epsilon_limit, std::ceil(multiplier * 1000) / 1000));
}

// floor, where 1000 * (1 - 0.1 - 0.1) must be 800 in spite of how 0.1 is held.
uint32_t CountedDevices(const CellShape& shape) {
  const double share = 1 - shape.adversarial_share - shape.dropout_share;
  return static_cast<uint32_t>(std::floor(shape.devices * share + 1e-9));
}

CellShape SmallestOf(CellShape shape) {
  if (shape.fewest_devices != 0) shape.devices = shape.fewest_devices;
  return shape;
}

// The Gaussian's epsilon at whole orders alone, which are those where Skellam noise has a bound.
absl::StatusOr<double> GaussianEpsilon(const DifferentialPrivacy& privacy) {
  std::vector<double> whole;
  std::ranges::copy_if(StandardOrders(), std::back_inserter(whole),
                       [](double order) { return order == std::floor(order); });
  ASSIGN_OR_RETURN(const PrivacyGuarantee spent,
                   EpsilonOfGaussian({.noise_multiplier = privacy.noise_multiplier}, 1, privacy.delta, whole));
  return spent.epsilon;
}

// What integers cost over real numbers: the larger share of epsilon and of noise (rounding adds some, and so does a
// variance that was rounded up to 1).
double Overhead(const DifferentialPrivacy& privacy, const CellShape& shape, const SkellamPlan& plan) {
  const double wanted = privacy.noise_multiplier * plan.scale * privacy.clip_norm;
  const double noise = std::sqrt(plan.release.variance + shape.devices / 4.0);
  return std::max(plan.epsilon / plan.gaussian_epsilon, noise / wanted) - 1;
}

// The scale at which half the ring is `deviations` standard deviations; 0 if rounding alone is wider.
double LargestScale(const DifferentialPrivacy& privacy, const CellShape& shape, int ring_bits, double deviations) {
  const double n = shape.devices;
  const double clip_square = privacy.clip_norm * privacy.clip_norm;
  const double noise_square = privacy.noise_multiplier * privacy.noise_multiplier * clip_square;
  const double counted = CountedDevices(shape);
  const double fewest_counted = CountedDevices(SmallestOf(shape));
  const double half_ring = std::ldexp(1.0, ring_bits - 1) / deviations;
  const double room = half_ring * half_ring - n / 4;
  if (room <= 0) return 0;
  const double per_square_of_scale =
      n * n * clip_square / static_cast<double>(shape.dimension) + n * noise_square / counted;
  const double fits = std::sqrt(room / per_square_of_scale);
  const double drawable = std::sqrt((static_cast<double>(kMaxSkellamVariance) - 1) * fewest_counted / noise_square);
  return std::min(fits, drawable);
}

// The plan in a lane with as much headroom as the overhead leaves; none if it leaves none. `make` plans with so many
// deviations. `least`: becomes the least overhead that was met, if that is lower.
template <typename Make>
std::optional<SkellamPlan> TryLane(const DifferentialPrivacy& privacy, const CellShape& shape, const Make& make,
                                   double& least) {
  for (const double deviations : kHeadrooms) {
    const absl::StatusOr<SkellamPlan> plan = make(deviations);
    if (!plan.ok()) continue;  // the ring is too narrow for these; a wider one or less headroom may do
    const double overhead = Overhead(privacy, shape, *plan);
    least = std::min(least, overhead);
    if (overhead <= privacy.rounding_overhead) return *plan;
  }
  return std::nullopt;
}

absl::StatusOr<SkellamPlan> WithinLimit(const DifferentialPrivacy& privacy, const SkellamPlan& plan) {
  if (plan.epsilon > privacy.device_epsilon_limit) return TooDear(privacy, plan.epsilon);
  return plan;
}

absl::Status NoLane(double least) {
  return absl::InvalidArgumentError(fmt::format(
      "integers of up to 32 bits cost {:.3g} % over real numbers, more than rounding_overhead allows: {:.3g} "
      "would do (at most 1 is possible; fewer values or more devices cost less)",
      least * 100, least * 1.01));
}

// As PlanSkellamIn, but with a release that holds for cells of any size.
absl::StatusOr<SkellamPlan> PlanForAnySize(const DifferentialPrivacy& privacy, const CellShape& shape, int ring_bits,
                                           double deviations) {
  ASSIGN_OR_RETURN(SkellamPlan plan, PlanSkellamIn(privacy, shape, ring_bits, deviations));
  const double noise = privacy.noise_multiplier * (plan.scale * privacy.clip_norm);
  plan.release.variance = noise * noise;
  ASSIGN_OR_RETURN(const PrivacyGuarantee integers, EpsilonOfSkellam(plan.release, 1, privacy.delta));
  plan.epsilon = integers.epsilon;
  return plan;
}

}  // namespace

absl::Status ValidateRanges(const DifferentialPrivacy& privacy) {
  const auto& [clip, z, delta, limit, overhead] = privacy;
  if (!(clip > 0 && clip <= 1e6)) return OutOfRange("clip_norm", clip, "(0, 1e6]");
  if (!(z >= 0.05 && z <= 100)) return OutOfRange("noise_multiplier", z, "[0.05, 100]");
  if (!(delta > 0 && delta <= 1e-3)) return OutOfRange("delta", delta, "(0, 1e-3]");
  if (!(limit > 0 && limit <= 100)) return OutOfRange("device_epsilon_limit", limit, "(0, 100]");
  if (!(overhead >= 1e-4 && overhead <= 1)) return OutOfRange("rounding_overhead", overhead, "[1e-4, 1]");
  return absl::OkStatus();
}

absl::Status Validate(const DifferentialPrivacy& privacy) {
  RETURN_IF_ERROR(ValidateRanges(privacy));
  ASSIGN_OR_RETURN(const double one, GaussianEpsilon(privacy));
  if (one > privacy.device_epsilon_limit) return TooDear(privacy, one);
  return absl::OkStatus();
}

absl::Status Validate(const CellShape& shape) {
  const auto& [devices, adversarial, dropout, dimension, fewest] = shape;
  if (devices < kMinDevices || devices > kMaxDevices) return OutOfRange("devices", devices, "3 .. 4096");
  if (fewest != 0 && (fewest < kMinDevices || fewest > devices)) {
    return OutOfRange("fewest_devices", fewest, "3 .. devices");
  }
  if (!(adversarial >= 0 && adversarial < 0.5)) return OutOfRange("adversarial_share", adversarial, "[0, 0.5)");
  if (!(dropout >= 0 && dropout < 0.5)) return OutOfRange("dropout_share", dropout, "[0, 0.5)");
  if (!(adversarial + dropout < 0.8)) {
    return OutOfRange("adversarial_share + dropout_share", adversarial + dropout, "[0, 0.8)");
  }
  if (dimension == 0 || dimension > kMaxDimension) {
    return OutOfRange("dimension", static_cast<double>(dimension), "1 .. 2^28");
  }
  if (CountedDevices(SmallestOf(shape)) == 0) {
    return absl::InvalidArgumentError(fmt::format(
        "of {} devices none is sure to be honest and to stay: more devices are needed", SmallestOf(shape).devices));
  }
  return absl::OkStatus();
}

uint32_t FewestSurvivors(const CellShape& shape) {
  return static_cast<uint32_t>(std::ceil(shape.devices * (1 - shape.dropout_share) - 1e-9));
}

absl::StatusOr<SkellamPlan> PlanSkellamIn(const DifferentialPrivacy& privacy, const CellShape& shape, int ring_bits,
                                          double deviations) {
  RETURN_IF_ERROR(ValidateRanges(privacy));
  RETURN_IF_ERROR(Validate(shape));
  if (ring_bits < 8 || ring_bits > 32) return OutOfRange("ring_bits", ring_bits, "8 .. 32");
  if (!(deviations >= 1 && deviations <= 32)) return OutOfRange("deviations", deviations, "[1, 32]");

  SkellamPlan plan;
  plan.ring_bits = ring_bits;
  plan.scale = LargestScale(privacy, shape, ring_bits, deviations);
  plan.headroom_deviations = deviations;
  plan.counted_devices = CountedDevices(shape);
  if (!(plan.scale > 0)) {
    return absl::InvalidArgumentError(
        fmt::format("the rounding of {} devices alone fills a ring of {} bits: use more bits or fewer devices",
                    shape.devices, ring_bits));
  }
  const double scaled_clip = plan.scale * privacy.clip_norm;
  plan.device_variance = DeviceVariance(privacy, shape, plan.scale);
  plan.release.sensitivity = RoundedSensitivity(scaled_clip, shape.dimension);
  plan.release.variance = static_cast<double>(plan.device_variance) * plan.counted_devices;
  ASSIGN_OR_RETURN(const PrivacyGuarantee integers, EpsilonOfSkellam(plan.release, 1, privacy.delta));
  ASSIGN_OR_RETURN(plan.gaussian_epsilon, GaussianEpsilon(privacy));
  plan.epsilon = integers.epsilon;
  return plan;
}

absl::StatusOr<SkellamPlan> PlanSkellam(const DifferentialPrivacy& privacy, const CellShape& shape) {
  RETURN_IF_ERROR(Validate(privacy));
  RETURN_IF_ERROR(Validate(shape));
  double least = std::numeric_limits<double>::infinity();
  for (const int lane : kLanes) {
    const auto make = [&](double deviations) { return PlanSkellamIn(privacy, shape, lane, deviations); };
    const std::optional<SkellamPlan> plan = TryLane(privacy, shape, make, least);
    if (plan.has_value()) return WithinLimit(privacy, *plan);
  }
  return NoLane(least);
}

absl::StatusOr<SkellamPlan> PlanSkellamInLane(const DifferentialPrivacy& privacy, const CellShape& shape,
                                              int lane_bits) {
  RETURN_IF_ERROR(Validate(privacy));
  RETURN_IF_ERROR(Validate(shape));
  double least = std::numeric_limits<double>::infinity();
  double in_this = least;  // overhead
  for (const int lane : kLanes) {
    if (lane < lane_bits) continue;
    const auto make = [&](double deviations) { return PlanForAnySize(privacy, shape, lane, deviations); };
    const std::optional<SkellamPlan> plan = TryLane(privacy, shape, make, least);
    if (lane == lane_bits) in_this = least;
    if (!plan.has_value()) continue;
    if (lane == lane_bits) return WithinLimit(privacy, *plan);
    return absl::InvalidArgumentError(
        fmt::format("integers of lane_bits = {} cost {:.3g} % over real numbers, more than rounding_overhead allows: {} "
                    "bits would do",
                    lane_bits, in_this * 100, lane));
  }
  return NoLane(least);
}

uint64_t DeviceVariance(const DifferentialPrivacy& privacy, const CellShape& shape, double scale) {
  const double noise = privacy.noise_multiplier * (scale * privacy.clip_norm);
  return static_cast<uint64_t>(std::ceil(noise * noise / CountedDevices(shape)));
}

}  // namespace fleetune
