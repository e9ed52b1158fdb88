#include "lora/plan/control_variates.h"

#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"

namespace fleetune {
namespace {

std::vector<float> Difference(std::span<const float> x, std::span<const float> y) {
  CHECK(x.size() == y.size());
  std::vector<float> difference(x.size());
  for (size_t i = 0; i < x.size(); ++i) difference[i] = x[i] - y[i];
  return difference;
}

void AddScaled(std::span<float> sum, std::span<const float> values, double factor) {
  CHECK(sum.size() == values.size());
  for (size_t i = 0; i < sum.size(); ++i) sum[i] = static_cast<float>(sum[i] + factor * values[i]);
}

}  // namespace

absl::Status CheckControlVariates(const TrainingPlan& plan) {
  if (!plan.train.control_variates) return absl::OkStatus();
  const auto without = [](const std::string& what) {
    return absl::InvalidArgumentError("control_variates: expected false, or " + what);
  };
  if (plan.encoding.max_weight != 1) return without("max_weight = 1: the server's is a plain mean over devices");
  if (plan.encoding.lane_bits < 24) {
    return without("lane_bits = 24 or 32: beside an update, changes of a mean gradient are lost in 16 bits");
  }
  if (plan.smallest_rank > 0) return without("no smallest_rank: a device keeps one for each trained value");
  if (plan.privacy.on()) return without("no noise, which is planned for the update alone");
  return absl::OkStatus();
}

uint64_t UpdateValues(const TrainingPlan& plan, uint64_t trained) {
  return plan.train.control_variates ? 2 * trained : trained;
}

std::vector<float> ControlOf(const OwnControl& own, const AdapterSpec& spec, Factors factors) {
  std::vector<float> values;
  values.reserve(FloatsOf(spec, factors));
  const auto append = [&](const std::vector<float>& control, uint64_t size) {
    CHECK(control.empty() || control.size() == size);
    values.insert(values.end(), control.begin(), control.end());
    if (control.empty()) values.resize(values.size() + size);
  };
  if (HasA(factors)) append(own.a, spec.a_size());
  if (HasB(factors)) append(own.b, spec.b_size());
  return values;
}

OwnControl WithControl(OwnControl own, const AdapterSpec& spec, Factors factors, std::span<const float> values) {
  CHECK(values.size() == FloatsOf(spec, factors));
  const auto a = values.first(HasA(factors) ? spec.a_size() : 0);
  const auto b = values.subspan(a.size());
  if (HasA(factors)) own.a.assign(a.begin(), a.end());
  if (HasB(factors)) own.b.assign(b.begin(), b.end());
  return own;
}

absl::StatusOr<std::vector<float>> ReadServerControl(std::span<const uint8_t> bytes, uint64_t values) {
  std::vector<float> control(values);
  if (bytes.empty()) return control;
  if (bytes.size() != values * sizeof(float)) {
    return absl::DataLossError("control variates: expected " + std::to_string(values * sizeof(float)) + " bytes, got " +
                               std::to_string(bytes.size()));
  }
  std::memcpy(control.data(), bytes.data(), bytes.size());
  for (size_t i = 0; i < control.size(); ++i) {
    if (!std::isfinite(control[i])) {
      return absl::DataLossError("control variates: expected finite values, got another at " + std::to_string(i));
    }
  }
  return control;
}

std::vector<float> GradientCorrection(std::span<const float> server, std::span<const float> own) {
  return Difference(server, own);
}

std::vector<float> ControlChange(std::span<const float> mean_gradient, std::span<const float> own) {
  return Difference(mean_gradient, own);
}

void MoveControl(std::span<float> own, std::span<const float> change, double norm, double clip_norm) {
  AddScaled(own, change, norm > clip_norm ? clip_norm / norm : 1.0);
}

void MoveServerControl(std::span<float> server, std::span<const float> mean_change, uint64_t counted,
                       uint64_t devices) {
  CHECK(counted > 0 && counted <= devices);
  AddScaled(server, mean_change, static_cast<double>(counted) / static_cast<double>(devices));
}

}  // namespace fleetune
