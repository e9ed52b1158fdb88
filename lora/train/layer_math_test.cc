#include "lora/train/layer_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "base/random.h"
#include "lora/train/attention.h"
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

TEST(SoftmaxLossTest, GivesLossAndGradient) {
  Floats logits = {1, 2, 3};
  const double sum = std::exp(1.0) + std::exp(2.0) + std::exp(3.0);
  EXPECT_NEAR(SoftmaxLoss(logits, 1), std::log(sum) - 2.0, 1e-6);
  EXPECT_NEAR(logits[0], std::exp(1.0) / sum, 1e-6);
  EXPECT_NEAR(logits[1], std::exp(2.0) / sum - 1, 1e-6);
  Floats large = {1000, -1000, 999};  // no overflow
  EXPECT_NEAR(SoftmaxLoss(large, 0), std::log(1 + std::exp(-1.0)), 1e-6);
}

// Six tokens, two key-value heads of four features, each with two query heads.
constexpr uint32_t kTokens = 6, kWidth = 4, kGroup = 2, kHeads = 4, kKvHeads = 2;
const AttentionShape kShape = {.length = kTokens,
                               .head_size = kWidth,
                               .group = kGroup,
                               .query_stride = kHeads * kWidth,
                               .key_stride = kKvHeads * kWidth,
                               .log_sum_stride = kHeads};

struct AttentionInput {
  Floats query = Random(kTokens * kHeads * kWidth, 1);
  Floats key = Random(kTokens * kKvHeads * kWidth, 2);
  Floats value = Random(kTokens * kKvHeads * kWidth, 3);
};

struct AttentionOutput {
  Floats output = Floats(kTokens * kHeads * kWidth);
  Floats log_sum = Floats(kTokens * kHeads);
};

AttentionForwardArgs ArgsOf(const AttentionInput& in, AttentionOutput& out, uint32_t kv_head) {
  return {.query = in.query.data() + kv_head * kGroup * kWidth,
          .key = in.key.data() + kv_head * kWidth,
          .value = in.value.data() + kv_head * kWidth,
          .output = out.output.data() + kv_head * kGroup * kWidth,
          .log_sum = out.log_sum.data() + kv_head * kGroup};
}

AttentionOutput Attend(const AttentionInput& in) {
  AttentionOutput out;
  for (uint32_t head = 0; head < kKvHeads; ++head) AttentionForward(kShape, ArgsOf(in, out, head));
  return out;
}

TEST(AttentionTest, ForwardIsSoftmaxOverWhatPrecedes) {
  const AttentionInput in;
  const Floats output = Attend(in).output;
  for (uint32_t t = 0; t < kTokens; ++t) {
    for (uint32_t head = 0; head < kHeads; ++head) {
      std::vector<double> weights;
      double sum = 0;
      for (uint32_t s = 0; s <= t; ++s) {
        double score = 0;
        for (uint32_t d = 0; d < kWidth; ++d) {
          score += static_cast<double>(in.query[(t * kHeads + head) * kWidth + d]) *
                   static_cast<double>(in.key[(s * kKvHeads + head / kGroup) * kWidth + d]);
        }
        weights.push_back(std::exp(score / 2));  // sqrt(4)
        sum += weights.back();
      }
      for (uint32_t d = 0; d < kWidth; ++d) {
        double expected = 0;
        for (uint32_t s = 0; s <= t; ++s) {
          expected += weights[s] / sum * static_cast<double>(in.value[(s * kKvHeads + head / kGroup) * kWidth + d]);
        }
        EXPECT_NEAR(output[(t * kHeads + head) * kWidth + d], expected, 1e-5);
      }
    }
  }
}

TEST(AttentionTest, BackwardAgreesWithDifferences) {
  const AttentionInput in;
  AttentionOutput out = Attend(in);
  const Floats d_output = Random(out.output.size(), 4);
  Floats d_query(in.query.size()), d_key(in.key.size()), d_value(in.value.size());
  for (uint32_t head = 0; head < kKvHeads; ++head) {
    AttentionBackward(kShape, {.forward = ArgsOf(in, out, head),
                               .d_output = d_output.data() + head * kGroup * kWidth,
                               .d_query = d_query.data() + head * kGroup * kWidth,
                               .d_key = d_key.data() + head * kWidth,
                               .d_value = d_value.data() + head * kWidth});
  }
  const auto with = [&](Floats AttentionInput::*part) {
    return [&in, part](const Floats& values) {
      AttentionInput changed = in;
      changed.*part = values;
      return Attend(changed).output;
    };
  };
  ExpectGradient(in.query, d_output, d_query, with(&AttentionInput::query));
  ExpectGradient(in.key, d_output, d_key, with(&AttentionInput::key));
  ExpectGradient(in.value, d_output, d_value, with(&AttentionInput::value));
}

}  // namespace
}  // namespace fleetune
