#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/digest.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// What a fleet adds to the gradient of a device's own loss, so that devices with different data do not pull the average
// apart. Over the trained values, flat; nothing if the options ask for nothing.
//   FedProx (Li et al. 2020)    proximal * (w - w_start)
//   SCAFFOLD                    a correction that stays the same for the whole training (lora/plan/control_variates.h)
// Not thread-safe.
class GradientTerms {
 public:
  // `start`: the trained values before the first step.
  GradientTerms(const TrainOptions& options, std::span<const float> start);

  // FailedPrecondition without options.control_variates; InvalidArgument for another number of values.
  absl::Status SetCorrection(std::vector<float> correction);

  // `gradient` is that of the loss at `weights`. Requires spans of the start's size; checked.
  void AddTo(std::span<float> gradient, std::span<const float> weights);

  // Mean over all calls of AddTo of the gradients as they came in: of control variates only, else empty. Zeros before
  // the first call.
  std::vector<float> MeanGradient() const;

  // With the number of steps all that AddTo changes: of control variates the sum of the gradients as they came in, else
  // empty.
  std::span<const float> sum() const { return sum_; }
  // SHA-256 of the correction's floats, of no byte before SetCorrection.
  const Digest& correction() const { return correction_hash_; }
  // Requires as many floats as sum() has; checked.
  void GoOnFrom(uint64_t steps, std::vector<float> sum);

 private:
  const size_t values_;
  const float proximal_;
  const bool control_variates_;
  std::vector<float> start_;       // of proximal_ > 0
  std::vector<float> correction_;  // empty: none
  Digest correction_hash_;
  std::vector<float> sum_;         // of control variates
  uint64_t steps_ = 0;
};

}  // namespace fleetune
