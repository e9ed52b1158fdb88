// Training of an adapter with magnitudes (DoRA).

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "lora/train/initial_magnitudes.h"
#include "lora/train/trainer.h"
#include "tests/support/status_matchers.h"
#include "tests/support/stories_model.h"

namespace fleetune {
namespace {

class DoraTrainingTest : public ::testing::Test {
 protected:
  DoraTrainingTest() {
    options_.steps = 1;
    options_.sequence_length = 512;
    options_.micro_batch = 1;  // a row holds all examples
    options_.clip_gradient_norm = 1e9;
    options_.factors = Factors::kBoth;
  }

  double LossOf(const Adapter& adapter) const {
    const auto loss = MeanLoss(*model_, examples_, &adapter);
    EXPECT_THAT(loss, IsOk());
    return loss.value_or(NAN);
  }

  Adapter Trained(const Adapter& start) const {
    const auto result =
        TrainAdapter(*model_, examples_, start, options_, {}, [](const TrainStep&) { return true; });
    EXPECT_THAT(result, IsOk());
    return result->adapter;
  }

  static Adapter WithMagnitudesOf(const Adapter& adapter, std::vector<float> magnitudes) {
    return *Adapter::Create(adapter.spec(), {adapter.a().begin(), adapter.a().end()},
                            {adapter.b().begin(), adapter.b().end()}, std::move(magnitudes));
  }

  const std::shared_ptr<const GgufFile> model_ = *OpenStories("q8_0");
  const Adapter plain_ = AdapterWithB(*model_);
  const std::vector<TokenExample> examples_ = RandomExamples(6, 24, 256);
  TrainOptions options_;
};

// The norms of the rows are what the magnitudes begin as, so nothing changes by them.
TEST_F(DoraTrainingTest, BeginsAsTheSameAdapter) {
  const Adapter fresh = Adapter::Initial(plain_.spec(), 3);
  for (const Adapter& adapter : {plain_, fresh}) {
    const auto dora = WithMagnitudes(*model_, adapter);
    ASSERT_THAT(dora, IsOk());
    ASSERT_TRUE(dora->spec().dora());
    EXPECT_NEAR(LossOf(*dora), LossOf(adapter), 2e-6);
    const auto again = WithMagnitudes(*model_, *dora);
    ASSERT_THAT(again, IsOk());
    EXPECT_TRUE(std::ranges::equal(again->magnitudes(), dora->magnitudes()));
  }
  EXPECT_GT(std::abs(LossOf(plain_) - LossOf(fresh)), 1e-3);
}

// By the size of a step of plain descent; magnitudes are no constants of the norms, so theirs is the whole derivative.
TEST_F(DoraTrainingTest, TheGradientOfMagnitudesAgreesWithFiniteDifferences) {
  options_.optimizer = OptimizerKind::kSgd;
  options_.momentum = 0;
  options_.learning_rate = 1.0;
  const Adapter start = *WithMagnitudes(*model_, plain_);
  const Adapter after = Trained(start);
  std::vector<double> gradient;
  double norm = 0;
  for (size_t i = 0; i < start.magnitudes().size(); ++i) {
    gradient.push_back(static_cast<double>(start.magnitudes()[i]) - static_cast<double>(after.magnitudes()[i]));
    norm += gradient.back() * gradient.back();
  }
  norm = std::sqrt(norm);
  ASSERT_GT(norm, 1e-3);
  SplitMix64 random(3);
  for (int direction = 0; direction < 6; ++direction) {
    std::vector<double> change;
    double expected = 0, length = 0;
    for (const double g : gradient) {
      change.push_back(g / norm + 0.02 * (random.NextUnit() - 0.5));
      expected += change.back() * g;
      length += change.back() * change.back();
    }
    const double by = 0.02 / std::sqrt(length);
    const auto moved = [&](double step) {
      std::vector<float> magnitudes(start.magnitudes().begin(), start.magnitudes().end());
      for (size_t i = 0; i < magnitudes.size(); ++i) magnitudes[i] += static_cast<float>(step * change[i]);
      return LossOf(WithMagnitudesOf(start, std::move(magnitudes)));
    };
    EXPECT_NEAR((moved(by) - moved(-by)) / (2 * by), expected, 0.02 * std::abs(expected) + 1e-3) << direction;
  }
}

TEST_F(DoraTrainingTest, LearnsWhatIsToBeTrained) {
  options_.steps = 30;
  options_.learning_rate = 3e-3;
  const Adapter start = *WithMagnitudes(*model_, Adapter::Initial(plain_.spec(), 3));
  for (const Factors factors : {Factors::kBoth, Factors::kA, Factors::kB}) {
    options_.factors = factors;
    // With B at zero A has no gradient.
    const Adapter from = factors == Factors::kA ? *WithMagnitudes(*model_, plain_) : start;
    const Adapter after = Trained(from);
    EXPECT_LT(LossOf(after), LossOf(from) - 0.1);
    EXPECT_NE(std::ranges::equal(after.a(), from.a()), HasA(factors));
    EXPECT_NE(std::ranges::equal(after.b(), from.b()), HasB(factors));
    size_t moved = 0;
    for (size_t i = 0; i < after.magnitudes().size(); ++i) moved += after.magnitudes()[i] != from.magnitudes()[i] ? 1 : 0;
    EXPECT_GT(moved, after.magnitudes().size() / 2);
  }
}

// A module without magnitudes learns as LoRA does.
TEST_F(DoraTrainingTest, ModulesWithoutMagnitudesKeepNone) {
  options_.steps = 3;
  const Adapter whole = *WithMagnitudes(*model_, plain_);
  const LoraModule& without = *whole.spec().Find(1, Projection::kDown);
  std::vector<float> magnitudes(whole.magnitudes().begin(), whole.magnitudes().end());
  std::fill_n(magnitudes.begin() + static_cast<ptrdiff_t>(without.b_offset / whole.spec().rank()), without.out, 0.0f);
  const Adapter start = WithMagnitudesOf(whole, std::move(magnitudes));
  EXPECT_NEAR(LossOf(start), LossOf(plain_), 2e-6);
  for (const OptimizerKind kind : {OptimizerKind::kAdamW, OptimizerKind::kSgd, OptimizerKind::kAdaFactor}) {
    options_.optimizer = kind;
    const Adapter after = Trained(start);
    EXPECT_TRUE(after.magnitudes(without).empty());
    EXPECT_FALSE(std::ranges::equal(after.b(without), start.b(without)));
    EXPECT_FALSE(after.magnitudes(whole.spec().modules()[0]).empty());
  }
}

TEST_F(DoraTrainingTest, MagnitudesAreOfAllRanks) {
  options_.ranks = 2;
  const Adapter start = *WithMagnitudes(*model_, plain_);
  EXPECT_THAT(AdapterTrainer::Create(*model_, examples_, start, options_, {}),
              HasStatus(absl::StatusCode::kInvalidArgument, "expected all 4 of a DoRA adapter, got 2"));
}

// W + s B A of one row is zero if A is that row and B takes it away.
TEST_F(DoraTrainingTest, ARowOfZerosHasNoMagnitude) {
  const std::shared_ptr<const GgufFile> floats = *OpenStories("f32");
  const AdapterSpec spec =
      *AdapterSpec::Create({.rank = 1, .alpha = 1, .targets = {Projection::kQ}}, SizesOf(*floats));
  const GgufTensor& weight = *floats->FindTensor("blk.0.attn_q.weight");
  const auto* row = reinterpret_cast<const float*>(weight.row(5).data());
  std::vector<float> a(spec.a_size(), 0.0f), b(spec.b_size(), 0.0f);
  std::copy_n(row, weight.columns, a.begin());
  b[5] = -1;
  EXPECT_THAT(WithMagnitudes(*floats, *Adapter::Create(spec, a, b)),
              HasStatus(absl::StatusCode::kInvalidArgument, "blk.0.attn_q.weight: row 5 is zero"));
}

}  // namespace
}  // namespace fleetune
