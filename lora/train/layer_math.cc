#include "lora/train/layer_math.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "lora/train/simd_clones.h"
#include "lora/train/vector_exp.h"

namespace fleetune {
namespace {

FLEETUNE_SIMD_CLONES
float Dot(const float* a, const float* b, size_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

FLEETUNE_SIMD_CLONES
float Dot3(const float* a, const float* b, const float* c, size_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (size_t i = 0; i < n; ++i) sum += a[i] * b[i] * c[i];
  return sum;
}

FLEETUNE_SIMD_CLONES
void SwiGluLoop(const float* gate, const float* up, float* h, size_t n) {
  for (size_t i = 0; i < n; ++i) h[i] = gate[i] / (1.0f + VectorExp(-gate[i])) * up[i];
}

FLEETUNE_SIMD_CLONES
void SwiGluBackwardLoop(const float* gate, const float* up, const float* dh, float* d_gate, float* d_up, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const float sigmoid = 1.0f / (1.0f + VectorExp(-gate[i]));
    const float silu = gate[i] * sigmoid;
    d_up[i] = dh[i] * silu;
    d_gate[i] = dh[i] * up[i] * (sigmoid + silu * (1.0f - sigmoid));
  }
}

FLEETUNE_SIMD_CLONES
float ExpShifted(float* values, float shift, size_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (size_t i = 0; i < n; ++i) {
    values[i] = VectorExp(values[i] - shift);
    sum += values[i];
  }
  return sum;
}

FLEETUNE_SIMD_CLONES
float Largest(const float* values, size_t n) {
  float largest = values[0];
#pragma omp simd reduction(max : largest)
  for (size_t i = 0; i < n; ++i) largest = values[i] > largest ? values[i] : largest;
  return largest;
}

FLEETUNE_SIMD_CLONES
void Scale(float* values, float by, size_t n) {
  for (size_t i = 0; i < n; ++i) values[i] *= by;
}

FLEETUNE_SIMD_CLONES
void SoftmaxBackwardLoop(const float* p, float mean, float* gradient, size_t n) {
  for (size_t i = 0; i < n; ++i) gradient[i] = p[i] * (gradient[i] - mean);
}

FLEETUNE_SIMD_CLONES
void GainLoop(const float* x, const float* gains, const float* bias, float* y, size_t n) {
  if (bias == nullptr) {
    for (size_t i = 0; i < n; ++i) y[i] = gains[i] * x[i];
  } else {
    for (size_t i = 0; i < n; ++i) y[i] = gains[i] * x[i] + bias[i];
  }
}

FLEETUNE_SIMD_CLONES
void AddProductsLoop(const float* x, const float* y, double* sums, size_t n) {
  for (size_t i = 0; i < n; ++i) sums[i] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
}

}  // namespace

void RmsNorm(std::span<const float> x, std::span<const float> weight, float epsilon, std::span<float> y,
             std::span<float> inverse_rms) {
  const size_t width = weight.size();
  CHECK(x.size() == inverse_rms.size() * width && y.size() == x.size());
  for (size_t row = 0; row < inverse_rms.size(); ++row) {
    const float* in = x.data() + row * width;
    float* out = y.data() + row * width;
    const float inverse = 1.0f / std::sqrt(Dot(in, in, width) / static_cast<float>(width) + epsilon);
    for (size_t i = 0; i < width; ++i) out[i] = in[i] * inverse * weight[i];
    inverse_rms[row] = inverse;
  }
}

void RmsNormBackward(std::span<const float> x, std::span<const float> weight, std::span<const float> inverse_rms,
                     std::span<const float> dy, std::span<float> dx, std::span<float> d_weight) {
  const size_t width = weight.size();
  CHECK(x.size() == inverse_rms.size() * width && dy.size() == x.size() && dx.size() == x.size());
  CHECK(d_weight.empty() || d_weight.size() == width);
  for (size_t row = 0; row < inverse_rms.size(); ++row) {
    const float* in = x.data() + row * width;
    const float* d_out = dy.data() + row * width;
    float* d_in = dx.data() + row * width;
    const float inverse = inverse_rms[row];
    const float along = Dot3(in, weight.data(), d_out, width) * inverse * inverse / static_cast<float>(width);
    for (size_t i = 0; i < width; ++i) d_in[i] = inverse * (weight[i] * d_out[i] - in[i] * along);
    if (d_weight.empty()) continue;
    for (size_t i = 0; i < width; ++i) d_weight[i] += d_out[i] * in[i] * inverse;
  }
}

void SwiGlu(std::span<const float> gate, std::span<const float> up, std::span<float> h) {
  CHECK(gate.size() == up.size() && gate.size() == h.size());
  SwiGluLoop(gate.data(), up.data(), h.data(), h.size());
}

void SwiGluBackward(std::span<const float> gate, std::span<const float> up, std::span<const float> dh,
                    std::span<float> d_gate, std::span<float> d_up) {
  CHECK(gate.size() == up.size() && gate.size() == dh.size());
  CHECK(gate.size() == d_gate.size() && gate.size() == d_up.size());
  SwiGluBackwardLoop(gate.data(), up.data(), dh.data(), d_gate.data(), d_up.data(), dh.size());
}

void Rotate(const HeadRotation& rotation, uint32_t head_size, std::span<float> row) {
  const size_t pairs = rotation.cosine.size();
  CHECK(rotation.sine.size() == pairs && 2 * pairs <= head_size && row.size() % head_size == 0);
  const size_t step = rotation.halves ? 1 : 2;
  const size_t partner = rotation.halves ? pairs : 1;
  for (size_t head = 0; head < row.size(); head += head_size) {
    float* values = row.data() + head;
    for (size_t i = 0; i < pairs; ++i) {
      const float cosine = rotation.cosine[i];
      const float sine = rotation.back ? -rotation.sine[i] : rotation.sine[i];
      float& first = values[i * step];
      float& second = values[i * step + partner];
      const float turned = first * cosine - second * sine;
      second = first * sine + second * cosine;
      first = turned;
    }
  }
}

float Softmax(std::span<float> scores) {
  CHECK(!scores.empty());
  const float largest = Largest(scores.data(), scores.size());
  const float sum = ExpShifted(scores.data(), largest, scores.size());
  Scale(scores.data(), 1.0f / sum, scores.size());
  return largest + std::log(sum);
}

void SoftmaxAgain(float log_sum, std::span<float> scores) { ExpShifted(scores.data(), log_sum, scores.size()); }

void SoftmaxBackward(std::span<const float> probabilities, float mean, std::span<float> gradient) {
  CHECK(probabilities.size() == gradient.size());
  SoftmaxBackwardLoop(probabilities.data(), mean, gradient.data(), gradient.size());
}

float DotProduct(std::span<const float> a, std::span<const float> b) {
  CHECK(a.size() == b.size());
  return Dot(a.data(), b.data(), a.size());
}

float AddPart(std::span<float> values, RunningSoftmax& softmax) {
  CHECK(!values.empty());
  const float largest = std::max(softmax.largest, Largest(values.data(), values.size()));
  const float earlier = std::exp(softmax.largest - largest);  // of minus infinity: 0
  softmax.sum = softmax.sum * earlier + ExpShifted(values.data(), largest, values.size());
  softmax.largest = largest;
  return earlier;
}

void GainRow(std::span<const float> x, std::span<const float> gains, std::span<const float> bias, std::span<float> y) {
  CHECK(gains.size() == x.size() && y.size() == x.size() && (bias.empty() || bias.size() == x.size()));
  GainLoop(x.data(), gains.data(), bias.empty() ? nullptr : bias.data(), y.data(), x.size());
}

void AddProductsOfRow(std::span<const float> x, std::span<const float> y, std::span<double> sums) {
  CHECK(y.size() == x.size() && sums.size() == x.size());
  AddProductsLoop(x.data(), y.data(), sums.data(), x.size());
}

}  // namespace fleetune
