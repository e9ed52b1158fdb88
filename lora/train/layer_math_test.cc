#include "lora/train/layer_math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "base/random.h"
#include "lora/train/vector_exp.h"

namespace fleetune {
namespace {

using Floats = std::vector<float>;

Floats Random(size_t size, uint64_t seed) {
  SplitMix64 random(seed);
  Floats values(size);
  for (float& value : values) value = static_cast<float>(2 * random.NextUnit() - 1);
  return values;
}

double Dot(const Floats& a, const Floats& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

// Checks `gradient` of dot(f(x), dy) by moving single values of x.
void ExpectGradient(const Floats& x, const Floats& dy, const Floats& gradient,
                    const std::function<Floats(const Floats&)>& f) {
  for (size_t i = 0; i < x.size(); i += 1 + x.size() / 23) {
    Floats up = x, down = x;
    up[i] += 1e-2f;
    down[i] -= 1e-2f;
    const double difference =
        (Dot(f(up), dy) - Dot(f(down), dy)) / (static_cast<double>(up[i]) - static_cast<double>(down[i]));
    EXPECT_NEAR(gradient[i], difference, 2e-3 * std::abs(difference) + 1e-3) << "element " << i;
  }
}

TEST(VectorExpTest, IsCloseToTheLibrarysAndClampsOutside) {
  for (float x = -87; x <= 88; x += 0.0371f) {
    EXPECT_NEAR(VectorExp(x) / std::exp(x), 1.0f, 4e-7f) << x;
  }
  EXPECT_EQ(VectorExp(0), 1.0f);
  EXPECT_EQ(VectorExp(-1000), VectorExp(-87));
  EXPECT_EQ(VectorExp(1000), VectorExp(88));
  EXPECT_TRUE(std::isnan(VectorExp(std::nanf(""))));
}

TEST(RmsNormTest, BackwardAgreesWithDifferences) {
  const Floats x = Random(3 * 10, 1), weight = Random(10, 2), dy = Random(3 * 10, 3);
  Floats inverse(3), dx(30), d_weight(10, 0.0f);
  const auto norm = [&](const Floats& in, const Floats& w) {
    Floats y(30);
    RmsNorm(in, w, 1e-5f, y, inverse);
    return y;
  };
  const Floats y = norm(x, weight);
  EXPECT_NEAR(y[0], x[0] * weight[0] / std::sqrt(Dot({x.begin(), x.begin() + 10}, {x.begin(), x.begin() + 10}) / 10),
              1e-4);
  RmsNormBackward(x, weight, inverse, dy, dx, d_weight);
  ExpectGradient(x, dy, dx, [&](const Floats& in) { return norm(in, weight); });
  ExpectGradient(weight, dy, d_weight, [&](const Floats& w) { return norm(x, w); });
}

TEST(SwiGluTest, BackwardAgreesWithDifferences) {
  const Floats gate = Random(20, 1), up = Random(20, 2), dh = Random(20, 3);
  Floats d_gate(20), d_up(20);
  const auto swiglu = [](const Floats& g, const Floats& u) {
    Floats h(g.size());
    SwiGlu(g, u, h);
    return h;
  };
  EXPECT_NEAR(swiglu({2.0f}, {3.0f})[0], 2.0 / (1.0 + std::exp(-2.0)) * 3.0, 1e-5);
  SwiGluBackward(gate, up, dh, d_gate, d_up);
  ExpectGradient(gate, dh, d_gate, [&](const Floats& g) { return swiglu(g, up); });
  ExpectGradient(up, dh, d_up, [&](const Floats& u) { return swiglu(gate, u); });
}

TEST(RotateTest, TurnsPairsOfBothKindsAndBack) {
  const Floats cosine = {0.6f, 0.0f}, sine = {0.8f, 1.0f};
  for (const bool halves : {false, true}) {
    Floats row = {1, 2, 3, 4, 9, 5, 6, 7, 8, 9};  // two heads of five, the last of each not rotated
    const Floats before = row;
    HeadRotation rotation = {.cosine = cosine, .sine = sine, .halves = halves};
    Rotate(rotation, 5, row);
    const size_t partner = halves ? 2 : 1;
    EXPECT_NEAR(row[0], 0.6f * before[0] - 0.8f * before[partner], 1e-6);
    EXPECT_NEAR(row[partner], 0.8f * before[0] + 0.6f * before[partner], 1e-6);
    EXPECT_EQ(row[4], 9.0f);
    rotation.back = true;
    Rotate(rotation, 5, row);
    for (size_t i = 0; i < row.size(); ++i) EXPECT_NEAR(row[i], before[i], 1e-5);
  }
}

TEST(SoftmaxTest, GivesProbabilitiesAndTheirLogSum) {
  const double sum = std::exp(1.0) + std::exp(2.0) + std::exp(3.0);
  Floats scores = {1, 2, 3};
  const float log_sum = Softmax(scores);
  EXPECT_NEAR(log_sum, std::log(sum), 1e-6);
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(scores[static_cast<size_t>(i)], std::exp(1.0 + i) / sum, 1e-6);
  Floats again = {1, 2, 3};
  SoftmaxAgain(log_sum, again);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(again[i], scores[i], 1e-6);
  Floats large = {1000, -1000, 999};  // no overflow
  EXPECT_NEAR(Softmax(large), 1000 + std::log(1 + std::exp(-1.0)), 1e-4);
  EXPECT_EQ(large[1], VectorExp(-87) / (1 + VectorExp(-1) + VectorExp(-87)));
}

TEST(SoftmaxTest, BackwardAgreesWithDifferences) {
  const Floats scores = Random(9, 1), d_p = Random(9, 2);
  const auto softmax = [](const Floats& in) {
    Floats p = in;
    Softmax(p);
    return p;
  };
  const Floats p = softmax(scores);
  Floats gradient = d_p;
  SoftmaxBackward(p, DotProduct(p, d_p), gradient);
  ExpectGradient(scores, d_p, gradient, softmax);
}

TEST(RunningSoftmaxTest, PartsGiveWhatTheWholeRowGives) {
  const Floats row = Random(1000, 1);
  Floats whole = row;
  const float log_sum = Softmax(whole);
  RunningSoftmax softmax;
  double weighted = 0;  // the sum of probabilities times a value each
  for (size_t begin = 0; begin < row.size(); begin += 137) {
    Floats part(row.begin() + static_cast<std::ptrdiff_t>(begin),
                row.begin() + static_cast<std::ptrdiff_t>(std::min(begin + 137, row.size())));
    for (float& value : part) value += static_cast<float>(begin) * 0.1f;  // so that the largest moves
    weighted *= static_cast<double>(AddPart(part, softmax));
    for (size_t i = 0; i < part.size(); ++i) weighted += static_cast<double>(part[i]) * static_cast<double>(i % 7);
  }
  double sum = 0, expected = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    const size_t begin = i / 137 * 137;
    const double e = std::exp(static_cast<double>(row[i] + static_cast<float>(begin) * 0.1f));
    sum += e;
    expected += e * static_cast<double>((i - begin) % 7);
  }
  EXPECT_NEAR(softmax.LogSum(), std::log(sum), 1e-5);
  EXPECT_NEAR(weighted / static_cast<double>(softmax.sum), expected / sum, 1e-5);
  EXPECT_GT(log_sum, 0);
}

}  // namespace
}  // namespace fleetune
