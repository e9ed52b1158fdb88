#pragma once

#include <cstdint>
#include <span>

namespace fleetune {

// The parts of a Llama block that are no matrix products, forward and backward, over rows of f32. Plain loops:
// the caller divides rows among threads. All are thread-safe on rows that do not overlap, do not allocate unless
// said, and CHECK that their spans agree.

// y = x * r * weight, with r = 1 / sqrt(mean(x^2) + epsilon) of each row, kept for the way back. A row has
// weight.size() elements; there are inverse_rms.size() rows.
void RmsNorm(std::span<const float> x, std::span<const float> weight, float epsilon, std::span<float> y,
             std::span<float> inverse_rms);

// dx from dy. If `d_weight` is not empty, the weight's gradient is added to it.
void RmsNormBackward(std::span<const float> x, std::span<const float> weight, std::span<const float> inverse_rms,
                     std::span<const float> dy, std::span<float> dx, std::span<float> d_weight);

// h = silu(gate) * up, element by element.
void SwiGlu(std::span<const float> gate, std::span<const float> up, std::span<float> h);
void SwiGluBackward(std::span<const float> gate, std::span<const float> up, std::span<const float> dh,
                    std::span<float> d_gate, std::span<float> d_up);

// The first 2 * cosine.size() elements of each head of one row, turned in place by the angles of its position.
// `halves` pairs element i with i + n/2, else neighbours are paired. Turn back by negating the sines.
struct HeadRotation {
  std::span<const float> cosine;
  std::span<const float> sine;
  bool halves = false;
  bool back = false;
};
void Rotate(const HeadRotation& rotation, uint32_t head_size, std::span<float> row);

// Turns a row of logits into d loss / d logits, softmax minus one at `target`; returns the loss, -ln p(target).
double SoftmaxLoss(std::span<float> logits, uint32_t target);

}  // namespace fleetune
