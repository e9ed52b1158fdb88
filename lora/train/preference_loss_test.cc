#include "lora/train/preference_loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "lora/train/trainer.h"
#include "tests/support/status_matchers.h"
#include "tests/support/stories_model.h"

namespace fleetune {
namespace {

constexpr uint32_t kVocabulary = 512;

TokenExample Pair(const TokenExample& chosen, const TokenExample& rejected) {
  TokenExample pair = chosen;
  pair.rejected = static_cast<uint32_t>(chosen.tokens.size());
  pair.tokens.insert(pair.tokens.end(), rejected.tokens.begin(), rejected.tokens.end());
  pair.loss.insert(pair.loss.end(), rejected.loss.begin(), rejected.loss.end());
  return pair;
}

// Pairs of random answers of up to 12 tokens each.
std::vector<TokenExample> RandomPairs(size_t count, uint64_t seed = 1) {
  const std::vector<TokenExample> answers = RandomExamples(2 * count, 12, kVocabulary, seed);
  std::vector<TokenExample> pairs;
  for (size_t i = 0; i < count; ++i) pairs.push_back(Pair(answers[2 * i], answers[2 * i + 1]));
  return pairs;
}

TrainOptions PairTraining(uint32_t steps) {
  return {.optimizer = OptimizerKind::kSgd,
          .learning_rate = 0.5,
          .momentum = 0,
          .dpo_beta = 0.5,
          .clip_gradient_norm = 1e9,
          .steps = steps,
          .sequence_length = 512,
          .micro_batch = 4,
          .factors = Factors::kBoth};
}

// Three sequences: a pair of two and three tokens, and a text of two.
JoinedExamples SmallPass() {
  JoinedExamples joined;
  joined.first_predictors = {0, 2, 5, 7};
  joined.preferences = {{.example = 1, .chosen = 0}};
  return joined;
}

TEST(SumLossesTest, FollowsThePaperInDoublePrecision) {
  const at::Tensor losses = at::tensor({1.0, 2.0, 0.5, 0.25, 3.0, 4.0, 5.0}, at::kDouble).requires_grad_(true);
  const std::vector<AnswerLogs> reference = {{}, {.chosen = -4.0, .rejected = -3.0}};
  constexpr double kBeta = 0.3;
  const PassLoss sums = SumLosses(losses, SmallPass(), reference, kBeta);
  const double margin = kBeta * ((-3.0 + 4.0) - (-3.75 + 3.0));
  EXPECT_NEAR(sums.text.item<double>(), 9.0, 1e-12);
  EXPECT_NEAR(sums.preferences.item<double>(), std::log1p(std::exp(-margin)), 1e-12);
  EXPECT_EQ(sums.figures.pairs, 1u);
  EXPECT_EQ(sums.figures.right, 1u);
  EXPECT_NEAR(sums.figures.margin_sum, margin, 1e-12);

  torch::autograd::backward({sums.text / 2.0 + sums.preferences}, {});
  // Of a log-probability: minus beta sigmoid(-margin) for the chosen answer, plus it for the other.
  const double pull = kBeta / (1.0 + std::exp(margin));
  const std::vector<double> expected = {pull, pull, -pull, -pull, -pull, 0.5, 0.5};
  for (int64_t i = 0; i < 7; ++i) {
    EXPECT_NEAR(losses.grad()[i].item<double>(), expected[static_cast<size_t>(i)], 1e-12) << i;
  }
}

TEST(SumLossesTest, FarMarginsStayFinite) {
  for (const double far : {-1e4, 1e4}) {
    const at::Tensor losses = at::full({7}, 1.0, at::kDouble).requires_grad_(true);
    const PassLoss sums = SumLosses(losses, SmallPass(), std::vector<AnswerLogs>{{}, {.chosen = far}}, 1.0);
    EXPECT_TRUE(std::isfinite(sums.preferences.item<double>()));
    torch::autograd::backward({sums.preferences}, {});
    EXPECT_TRUE(at::isfinite(losses.grad()).all().item<bool>());
  }
}

TEST(SumLossesTest, WithoutPreferencesItIsTheSum) {
  JoinedExamples text;
  text.first_predictors = {0, 3};
  const PassLoss sums = SumLosses(at::tensor({1.0, 2.0, 4.0}, at::kDouble), text, {}, 0.1);
  EXPECT_EQ(sums.text.item<double>(), 7.0);
  EXPECT_EQ(sums.preferences.item<double>(), 0.0);
  EXPECT_EQ(sums.figures, PreferenceFigures{});
}

// -ln sigmoid of the margin of one pair, from mean losses that another function measures.
double PairLoss(const GgufFile& model, const TokenExample& pair, const Adapter& start, const Adapter& now,
                double beta) {
  TokenExample rejected;
  rejected.tokens.assign(pair.tokens.begin() + pair.rejected, pair.tokens.end());
  rejected.loss.assign(pair.loss.begin() + pair.rejected, pair.loss.end());
  const auto log_of = [&](const TokenExample& answer, const Adapter& adapter) {
    const auto counted = static_cast<double>(std::count(answer.loss.begin() + 1, answer.loss.end(), true));
    return -counted * *MeanLoss(model, std::span(&answer, 1), &adapter);
  };
  const TokenExample chosen = ChosenOf(pair);
  const double margin =
      beta * ((log_of(chosen, now) - log_of(chosen, start)) - (log_of(rejected, now) - log_of(rejected, start)));
  return std::log1p(std::exp(-margin));
}

// At the start every margin is 0, so the first step of plain descent shows the gradient there; the second step's is that
// of margins that are not.
TEST(PreferenceTrainingTest, StepsFollowTheGradientByFiniteDifferences) {
  const auto model = *OpenStories("f32");
  const Adapter start = AdapterWithB(*model);
  const std::vector<TokenExample> pairs = RandomPairs(3);
  TrainOptions options = PairTraining(1);
  options.micro_batch = 1;       // each pair once a step
  options.learning_rate = 1e-4;  // so short a step that the loss is nearly straight along it
  const Adapter first = TrainAdapter(*model, pairs, start, options, {}, [](const TrainStep&) { return true; })->adapter;
  options.steps = 2;
  std::vector<TrainStep> steps;
  const Adapter second = TrainAdapter(*model, pairs, start, options, {}, [&](const TrainStep& step) {
                           steps.push_back(step);
                           return true;
                         })->adapter;
  const auto loss_at = [&](const Adapter& adapter) {
    double sum = 0;
    for (const TokenExample& pair : pairs) sum += PairLoss(*model, pair, start, adapter, options.dpo_beta);
    return sum / static_cast<double>(pairs.size());
  };
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_NEAR(steps[0].loss, std::log(2.0), 1e-4);
  EXPECT_NEAR(steps[1].loss, loss_at(first), 1e-3);
  EXPECT_EQ(steps[0].preferences.pairs, 3u);

  // Along each step the loss changes by its length times the gradient's: the step is rate times the gradient.
  for (const auto& [from, to, step] : {std::tuple{&start, &first, 0}, std::tuple{&first, &second, 1}}) {
    const double norm = steps[static_cast<size_t>(step)].gradient_norm;
    ASSERT_GT(norm, 1e-2);
    const double by = 0.02 / norm;
    const auto moved = [&](double sign) {
      std::vector<float> a(from->a().begin(), from->a().end()), b(from->b().begin(), from->b().end());
      const auto scale = static_cast<float>(sign * by / options.learning_rate);
      for (size_t i = 0; i < a.size(); ++i) a[i] += scale * (from->a()[i] - to->a()[i]);
      for (size_t i = 0; i < b.size(); ++i) b[i] += scale * (from->b()[i] - to->b()[i]);
      return *Adapter::Create(from->spec(), a, b);
    };
    EXPECT_NEAR((loss_at(moved(1)) - loss_at(moved(-1))) / (2 * by), norm * norm, 0.03 * norm * norm) << step;
  }
}

TEST(PreferenceTrainingTest, RaisesTheMarginAlsoBesideTexts) {
  const auto model = *OpenStories("q8_0");
  const Adapter start = AdapterWithB(*model);
  for (const bool with_texts : {false, true}) {
    std::vector<TokenExample> examples = RandomPairs(6, 5);
    if (with_texts) {
      const std::vector<TokenExample> texts = RandomExamples(4, 20, kVocabulary);
      examples.insert(examples.end(), texts.begin(), texts.end());
    }
    TrainOptions options = PairTraining(40);
    options.optimizer = OptimizerKind::kAdamW;
    options.learning_rate = 0.003;
    const auto result = TrainAdapter(*model, examples, start, options, {}, [](const TrainStep&) { return true; });
    ASSERT_THAT(result, IsOk());
    EXPECT_EQ(result->preferences.pairs > 0, true);
    EXPECT_GT(result->preferences.margin(), 1.0);
    EXPECT_EQ(result->preferences.accuracy(), 1.0);
    EXPECT_LT(result->last_loss, 0.8 * result->first_loss);
  }
}

TEST(PreferenceTrainingTest, StoppedAtAnyPointItGoesOnWithTheSameBits) {
  const auto model = *OpenStories("q4_0");
  const Adapter start = AdapterWithB(*model);
  std::vector<TokenExample> examples = RandomPairs(3);
  examples.push_back(RandomExamples(1, 20, kVocabulary)[0]);
  TrainOptions options = PairTraining(6);
  options.dropout = 0.1;
  options.sequence_length = 32;
  const auto create = [&] { return *AdapterTrainer::Create(*model, examples, start, options, {}); };
  const auto whole = create();
  while (!whole->done()) ASSERT_THAT(whole->Step(), IsOk());
  for (uint32_t stop = 1; stop <= options.steps; ++stop) {
    const auto first = create();
    while (first->steps_done() < stop) ASSERT_THAT(first->Step(), IsOk());
    const auto second = create();
    ASSERT_THAT(second->GoOnFrom(*DecodeTrainingState(first->Checkpoint())), IsOk());
    while (!second->done()) ASSERT_THAT(second->Step(), IsOk());
    EXPECT_TRUE(std::ranges::equal(second->Result()->adapter.b(), whole->Result()->adapter.b())) << stop;
    EXPECT_TRUE(std::ranges::equal(second->Result()->adapter.a(), whole->Result()->adapter.a())) << stop;
    EXPECT_EQ(second->Result()->preferences, whole->Result()->preferences);
  }
}

TEST(PreferenceTrainingTest, RefusesPairsWithoutAnAnswer) {
  const auto model = *OpenStories("f32");
  const Adapter start = AdapterWithB(*model);
  const auto create = [&](const TokenExample& pair) {
    return AdapterTrainer::Create(*model, std::span(&pair, 1), start, PairTraining(1), {}).status();
  };
  TokenExample pair = RandomPairs(1)[0];
  EXPECT_THAT(create(pair), IsOk());
  pair.rejected = static_cast<uint32_t>(pair.tokens.size());
  EXPECT_THAT(create(pair), HasStatus(absl::StatusCode::kInvalidArgument, "rejected answer from token"));
  pair = RandomPairs(1)[0];
  std::fill(pair.loss.begin(), pair.loss.begin() + pair.rejected, false);
  EXPECT_THAT(create(pair), HasStatus(absl::StatusCode::kInvalidArgument, "no token to learn"));
}

}  // namespace
}  // namespace fleetune
