#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lora/adapter/adapter_spec.h"
#include "lora/adapter/factors.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// SCAFFOLD (Karimireddy et al. 2020): control variates against the drift of devices whose data differ. Each device
// keeps c_i, what its own gradients point to, and the server keeps c, the mean of the c_i of all devices; both have a
// float for each trained value and begin at zero. A device adds c - c_i to each of its gradients, before they are
// clipped and before the optimizer.
//
// The new c_i is the mean of the round's own gradients, before they were corrected or clipped. For plain SGD that is
// the paper's option II, c_i - c + (x - y_i) / (K eta), written without the step; for other optimizers, and with
// clipping, the mean is still of gradients, and that formula would not be.
//
// What travels up is one vector under one sum: the delta, then the change of c_i. What travels down beside a version
// is c.

// InvalidArgument if the plan has control variates together with what they do not go with: weights (c is a plain mean),
// 16-bit lanes (a change is much smaller than an update), ranks left out, or noise (planned for the delta alone).
absl::Status CheckControlVariates(const TrainingPlan& plan);

// Values of an update that trains so many: twice as many with control variates.
uint64_t UpdateValues(const TrainingPlan& plan, uint64_t trained);

// A device's c_i of all that is ever trained; empty: zeros.
struct OwnControl {
  std::vector<float> a;
  std::vector<float> b;

  friend bool operator==(const OwnControl&, const OwnControl&) = default;
};

// Those of `factors`, flat, FloatsOf(spec, factors) floats. Requires factors that are empty or of the spec's size; checked.
std::vector<float> ControlOf(const OwnControl& own, const AdapterSpec& spec, Factors factors);

// The inverse: `own` with those of `factors` replaced. Requires FloatsOf(spec, factors) values; checked.
OwnControl WithControl(OwnControl own, const AdapterSpec& spec, Factors factors, std::span<const float> values);

// c as it travels: little-endian f32, or no byte at all while each of the `values` is zero. DataLoss for another number
// of bytes, or a value that is not finite.
absl::StatusOr<std::vector<float>> ReadServerControl(std::span<const uint8_t> bytes, uint64_t values);

// A device's: c - c_i. Requires spans of one size; checked.
std::vector<float> GradientCorrection(std::span<const float> server, std::span<const float> own);

// A device's: the change of c_i to send, new - old. Requires spans of one size; checked.
std::vector<float> ControlChange(std::span<const float> mean_gradient, std::span<const float> own);

// A device's, once it is counted: c_i moves by what was sent, which clipping an update of norm `norm` to `clip_norm`
// has scaled. Requires spans of one size; checked.
void MoveControl(std::span<float> own, std::span<const float> change, double norm, double clip_norm);

// The server's: c moves by the mean change of `counted` of `devices` (counted <= devices, above 0; checked). Requires
// spans of one size; checked.
void MoveServerControl(std::span<float> server, std::span<const float> mean_change, uint64_t counted, uint64_t devices);

}  // namespace fleetune
