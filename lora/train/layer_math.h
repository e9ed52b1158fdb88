#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
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

// y = gains * x + bias, element by element; an empty bias is none.
void GainRow(std::span<const float> x, std::span<const float> gains, std::span<const float> bias, std::span<float> y);
// sums += x * y, element by element: with each row of two matrices, the dot products of their columns.
void AddProductsOfRow(std::span<const float> x, std::span<const float> y, std::span<double> sums);

// The first 2 * cosine.size() elements of each head of one row, turned in place by the angles of its position.
// `halves` pairs element i with i + n/2, else neighbours are paired. Turn back by negating the sines.
struct HeadRotation {
  std::span<const float> cosine;
  std::span<const float> sine;
  bool halves = false;
  bool back = false;
};
void Rotate(const HeadRotation& rotation, uint32_t head_size, std::span<float> row);

// Turns a row of scores into probabilities; returns the logarithm of the sum of their exponentials, from which
// SoftmaxAgain gives the same probabilities without looking for the largest. Not empty.
float Softmax(std::span<float> scores);
void SoftmaxAgain(float log_sum, std::span<float> scores);

// d loss / d scores from the probabilities and, in place, d loss / d probabilities. `mean` is the sum of their
// products.
void SoftmaxBackward(std::span<const float> probabilities, float mean, std::span<float> gradient);

float DotProduct(std::span<const float> a, std::span<const float> b);

// A softmax over a row that comes in parts (Milakov and Gimelshein 2018).
struct RunningSoftmax {
  float largest = -std::numeric_limits<float>::infinity();  // so far
  float sum = 0;                                            // of e^(value - largest)
  double LogSum() const { return std::log(static_cast<double>(sum)) + static_cast<double>(largest); }
};

// Turns the next part into e^(value - largest), with the largest of all parts so far. Sums over earlier parts
// have to be multiplied by the result, at most 1.
float AddPart(std::span<float> values, RunningSoftmax& softmax);

}  // namespace fleetune
