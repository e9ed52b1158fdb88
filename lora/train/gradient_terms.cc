#include "lora/train/gradient_terms.h"

#include <string>
#include <utility>

#include "base/check.h"
#include "base/crypto/sha256.h"

namespace fleetune {
namespace {

Digest HashOf(std::span<const float> values) {
  return Sha256({reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()});
}

}  // namespace

GradientTerms::GradientTerms(const TrainOptions& options, std::span<const float> start)
    : values_(start.size()),
      proximal_(static_cast<float>(options.proximal)),
      control_variates_(options.control_variates),
      correction_hash_(HashOf({})),
      sum_(options.control_variates ? start.size() : 0) {
  if (proximal_ > 0) start_.assign(start.begin(), start.end());
}

absl::Status GradientTerms::SetCorrection(std::vector<float> correction) {
  if (!control_variates_) {
    return absl::FailedPreconditionError("gradients are corrected in a training with control_variates only");
  }
  if (correction.size() != values_) {
    return absl::InvalidArgumentError("a correction of the gradient: expected " + std::to_string(values_) +
                                      " values, got " + std::to_string(correction.size()));
  }
  correction_ = std::move(correction);
  correction_hash_ = HashOf(correction_);
  return absl::OkStatus();
}

void GradientTerms::AddTo(std::span<float> gradient, std::span<const float> weights) {
  CHECK(gradient.size() == values_ && weights.size() == values_);
  ++steps_;
  for (size_t i = 0; i < sum_.size(); ++i) sum_[i] += gradient[i];
  for (size_t i = 0; i < start_.size(); ++i) gradient[i] += proximal_ * (weights[i] - start_[i]);
  for (size_t i = 0; i < correction_.size(); ++i) gradient[i] += correction_[i];
}

std::vector<float> GradientTerms::MeanGradient() const {
  std::vector<float> mean = sum_;
  if (steps_ == 0) return mean;
  const auto share = static_cast<float>(1.0 / static_cast<double>(steps_));
  for (float& value : mean) value *= share;
  return mean;
}

void GradientTerms::GoOnFrom(uint64_t steps, std::vector<float> sum) {
  CHECK(sum.size() == sum_.size());
  steps_ = steps;
  sum_ = std::move(sum);
}

}  // namespace fleetune
