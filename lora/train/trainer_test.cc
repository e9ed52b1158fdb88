#include "lora/train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/support/stories_model.h"

namespace fleetune {
namespace {

constexpr uint32_t kVocabulary = 512;  // of the models used here

bool GoOn(const TrainStep&) { return true; }

TrainOptions SmallTraining() {
  TrainOptions options;
  options.steps = 3;
  options.sequence_length = 48;
  options.micro_batch = 2;
  options.clip_gradient_norm = 1e9;
  return options;
}

// The gradient of one step over all examples, made visible: with one step of AdamW from zero moments every weight moves
// by the learning rate against its gradient's sign, so the loss itself is the better witness. What is compared here is
// the change of the loss along one direction of B with the directional derivative.
double LossAt(const GgufFile& model, std::span<const TokenExample> examples, const Adapter& adapter) {
  const absl::StatusOr<double> loss = MeanLoss(model, examples, &adapter);
  EXPECT_THAT(loss, IsOk());
  return loss.ok() ? *loss : std::numeric_limits<double>::quiet_NaN();
}

// One step of plain descent: AdamW whose epsilon dwarfs the root of the second moment moves weights by
// rate / epsilon times the gradient.
std::vector<double> GradientBySmallStep(const GgufFile& model, std::span<const TokenExample> examples,
                                        const Adapter& adapter, Factors trained) {
  TrainOptions options = SmallTraining();
  options.steps = 1;
  options.sequence_length = 512;
  options.micro_batch = 64;
  options.factors = trained;
  options.learning_rate = 1.0;
  options.epsilon = 1.0;
  options.beta1 = 0.0;
  options.beta2 = 0.0;
  const auto result = TrainAdapter(model, examples, adapter, options, {}, GoOn);
  EXPECT_THAT(result, IsOk());
  // step = g / (|g| + 1), so g = step / (1 - |step|).
  const bool of_a = HasA(trained);
  const auto before = of_a ? adapter.a() : adapter.b();
  const auto after = of_a ? result->adapter.a() : result->adapter.b();
  // What is frozen keeps its bits, what is trained does not.
  EXPECT_NE(std::ranges::equal(adapter.a(), result->adapter.a()), HasA(trained));
  EXPECT_NE(std::ranges::equal(adapter.b(), result->adapter.b()), HasB(trained));
  std::vector<double> gradient;
  for (size_t i = 0; i < before.size(); ++i) {
    const double step = static_cast<double>(before[i]) - static_cast<double>(after[i]);
    gradient.push_back(step / (1.0 - std::abs(step)));
  }
  return gradient;
}

// The adapter with `change` added to A or B.
Adapter Moved(const Adapter& adapter, bool move_a, const std::vector<double>& change, double by) {
  std::vector<float> a(adapter.a().begin(), adapter.a().end());
  std::vector<float> b(adapter.b().begin(), adapter.b().end());
  std::vector<float>& moved = move_a ? a : b;
  for (size_t i = 0; i < moved.size(); ++i) moved[i] += static_cast<float>(by * change[i]);
  return *Adapter::Create(adapter.spec(), a, b);
}

struct GradientCase {
  const char* model;
  Factors trained;  // the gradient of A if it is, else of B
};
class GradientTest : public ::testing::TestWithParam<GradientCase> {};

TEST_P(GradientTest, AgreesWithFiniteDifferences) {
  const auto model = *OpenTestModel(GetParam().model);
  const Adapter adapter = AdapterWithB(*model);
  const std::vector<TokenExample> examples = RandomExamples(6, 24, 256);
  const Factors trained = GetParam().trained;
  const bool train_a = HasA(trained);
  const std::vector<double> gradient = GradientBySmallStep(*model, examples, adapter, trained);
  double norm = 0;
  for (const double g : gradient) norm += g * g;
  norm = std::sqrt(norm);
  ASSERT_GT(norm, 1e-3);

  // Along the gradient, and along random directions in each module by itself.
  SplitMix64 random(3);
  for (int direction = 0; direction < 8; ++direction) {
    std::vector<double> change(gradient.size(), 0.0);
    const LoraModule& module = adapter.spec().modules()[random.Below(adapter.spec().modules().size())];
    const uint64_t begin = direction == 0 ? 0 : train_a ? module.a_offset : module.b_offset;
    const uint64_t size =
        direction == 0 ? gradient.size() : uint64_t{adapter.spec().rank()} * (train_a ? module.in : module.out);
    double expected = 0, length = 0;
    for (uint64_t i = begin; i < begin + size; ++i) {
      change[i] = gradient[i] / norm + 0.05 * (random.NextUnit() - 0.5);
      expected += change[i] * gradient[i];
      length += change[i] * change[i];
    }
    const double by = 0.02 / std::sqrt(length);
    const double difference = (LossAt(*model, examples, Moved(adapter, train_a, change, by)) -
                               LossAt(*model, examples, Moved(adapter, train_a, change, -by))) /
                              (2 * by);
    EXPECT_NEAR(difference, expected, 0.02 * std::abs(expected) + 2e-4 / by * 0.05) << "direction " << direction;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GradientTest,
                         ::testing::Values(GradientCase{"stories260K-f32", Factors::kB},
                                           GradientCase{"stories260K-f32", Factors::kA},
                                           GradientCase{"stories260K-f32", Factors::kBoth},
                                           GradientCase{"stories260K-q4_0", Factors::kB},
                                           GradientCase{"synthetic-qwen2-f32", Factors::kB},
                                           GradientCase{"synthetic-qwen2-f32", Factors::kA},
                                           GradientCase{"synthetic-llama-untied-f32", Factors::kB}));

TEST(TrainAdapterTest, EachOptimizerLearns) {
  const auto model = *OpenStories("q8_0");
  const Adapter adapter = AdapterWithB(*model);
  const std::vector<TokenExample> examples = RandomExamples(4, 24, kVocabulary);
  for (const auto& [kind, rate] : {std::pair{OptimizerKind::kAdamW, 0.01}, std::pair{OptimizerKind::kSgd, 0.5},
                                   std::pair{OptimizerKind::kAdaFactor, 0.01}}) {
    TrainOptions options = SmallTraining();
    options.optimizer = kind;
    options.learning_rate = rate;
    options.factors = Factors::kBoth;
    options.clip_gradient_norm = 1;
    options.steps = 30;
    const auto result = TrainAdapter(*model, examples, adapter, options, {}, GoOn);
    ASSERT_THAT(result, IsOk());
    EXPECT_LT(result->last_loss, 0.8 * result->first_loss) << "optimizer " << static_cast<int>(kind);
  }
}

TEST(TrainAdapterTest, PackedExamplesLearnWhatTheyWouldAlone) {
  const auto model = *OpenStories("q8_0");
  const Adapter adapter = AdapterWithB(*model);
  const std::vector<TokenExample> examples = RandomExamples(12, 30, kVocabulary);
  TrainOptions packed = SmallTraining();
  packed.steps = 1;
  packed.sequence_length = 512;
  packed.micro_batch = 4;
  TrainOptions alone = packed;
  alone.sequence_length = 30;  // the longest example: hardly two fit a row
  alone.micro_batch = 1;
  alone.accumulate = 1;
  alone.steps = 0;

  // The loss of each example by itself, weighted by its tokens.
  double sum = 0;
  double learned = 0;
  for (const TokenExample& example : examples) {
    const double tokens = static_cast<double>(std::count(example.loss.begin() + 1, example.loss.end(), true));
    const auto one = TrainAdapter(*model, std::span(&example, 1), adapter, alone, {}, GoOn);
    ASSERT_THAT(one, IsOk());
    sum += one->first_loss * tokens;
    learned += tokens;
  }
  const auto together = TrainAdapter(*model, examples, adapter, packed, {}, GoOn);

  ASSERT_THAT(together, IsOk());
  EXPECT_NEAR(together->first_loss, sum / learned, 1e-5);
  EXPECT_NEAR(LossAt(*model, examples, adapter), sum / learned, 1e-5);
}

TEST(TrainAdapterTest, AccumulatedMicroBatchesAreOneBatch) {
  const auto model = *OpenStories("f32");
  const Adapter adapter = AdapterWithB(*model);
  std::vector<TokenExample> examples = RandomExamples(8, 30, kVocabulary);
  for (TokenExample& example : examples) {  // so that each fills a row
    example.tokens.resize(30, 5);
    example.loss.resize(30, true);
  }
  TrainOptions whole = SmallTraining();
  whole.sequence_length = 30;
  whole.micro_batch = 8;
  TrainOptions parts = whole;
  parts.micro_batch = 2;
  parts.accumulate = 4;

  const auto a = TrainAdapter(*model, examples, adapter, whole, {}, GoOn);
  const auto b = TrainAdapter(*model, examples, adapter, parts, {}, GoOn);

  ASSERT_THAT(a, IsOk());
  ASSERT_THAT(b, IsOk());
  EXPECT_NEAR(a->last_loss, b->last_loss, 1e-4);
  EXPECT_EQ(a->tokens, b->tokens);
}

// The gradient of the ranks that are trained is what it is when all are; the others keep their bits, whatever AdamW
// does to weights without a gradient.
TEST(TrainAdapterTest, TrainsTheFirstRanksAlone) {
  const auto model = *OpenStories("f32");
  const Adapter adapter = AdapterWithB(*model);
  const std::vector<TokenExample> examples = RandomExamples(10, 40, kVocabulary);
  const uint32_t rank = adapter.spec().rank();
  for (const Factors factors : {Factors::kB, Factors::kA, Factors::kBoth}) {
    TrainOptions options = SmallTraining();
    options.steps = 1;
    options.factors = factors;
    options.clip_gradient_norm = 1e9;
    const auto whole = TrainAdapter(*model, examples, adapter, options, {}, GoOn);
    ASSERT_THAT(whole, IsOk());
    options.weight_decay = 0.5;
    options.ranks = rank - 1;
    const auto decayed = TrainAdapter(*model, examples, adapter, options, {}, GoOn);
    ASSERT_THAT(decayed, IsOk());
    options.weight_decay = 0;
    const auto part = TrainAdapter(*model, examples, adapter, options, {}, GoOn);
    ASSERT_THAT(part, IsOk());
    EXPECT_EQ(part->first_loss, whole->first_loss);
    const auto expect_first_rows = [&](std::span<const float> got, std::span<const float> decayed_too,
                                       std::span<const float> expected, std::span<const float> before, bool is_trained) {
      const size_t trained = is_trained ? got.size() / rank * (rank - 1) : 0;
      for (size_t i = 0; i < trained; ++i) ASSERT_NEAR(got[i], expected[i], 1e-5) << i;
      EXPECT_NE(std::ranges::equal(got.first(trained), before.first(trained)), is_trained);
      EXPECT_TRUE(std::ranges::equal(got.subspan(trained), before.subspan(trained)));
      EXPECT_TRUE(std::ranges::equal(decayed_too.subspan(trained), before.subspan(trained)));
    };
    for (const LoraModule& module : adapter.spec().modules()) {
      expect_first_rows(part->adapter.b(module), decayed->adapter.b(module), whole->adapter.b(module),
                        adapter.b(module), HasB(factors));
      expect_first_rows(part->adapter.a(module), decayed->adapter.a(module), whole->adapter.a(module),
                        adapter.a(module), HasA(factors));
    }
  }
}

TEST(TrainAdapterTest, SameSeedGivesSameBits) {
  const auto model = *OpenStories("q4_0");
  const Adapter adapter = AdapterWithB(*model);
  const std::vector<TokenExample> examples = RandomExamples(10, 40, kVocabulary);
  TrainOptions options = SmallTraining();
  options.dropout = 0.2;
  options.factors = Factors::kBoth;
  options.schedule = Schedule::kCosine;
  options.warmup_steps = 1;

  const auto first = TrainAdapter(*model, examples, adapter, options, {}, GoOn);
  const auto second = TrainAdapter(*model, examples, adapter, options, {}, GoOn);
  options.seed = 2;
  const auto other = TrainAdapter(*model, examples, adapter, options, {}, GoOn);

  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(second, IsOk());
  ASSERT_THAT(other, IsOk());
  const auto floats = [](std::span<const float> span) { return std::vector<float>(span.begin(), span.end()); };
  EXPECT_EQ(floats(first->adapter.a()), floats(second->adapter.a()));
  EXPECT_EQ(floats(first->adapter.b()), floats(second->adapter.b()));
  EXPECT_NE(floats(first->adapter.b()), floats(other->adapter.b()));
}

TEST(TrainAdapterTest, StopsWhenAskedAndKeepsWhatWasLearned) {
  const auto model = *OpenStories("f32");
  const Adapter initial = AdapterWithB(*model);
  const std::vector<TokenExample> examples = RandomExamples(10, 40, kVocabulary);
  TrainOptions options = SmallTraining();
  options.steps = 50;
  uint32_t seen = 0;

  const auto result = TrainAdapter(*model, examples, initial, options, {}, [&](const TrainStep& step) {
    EXPECT_EQ(step.step, ++seen);
    EXPECT_EQ(step.steps, 50u);
    return step.step < 2;
  });

  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->steps, 2u);
  EXPECT_NE(result->adapter.b()[0], initial.b()[0]);
  EXPECT_EQ(result->adapter.a()[0], initial.a()[0]);  // only B is trained
}

TEST(TrainAdapterTest, LearnsOneSentenceByHeart) {
  const auto model = *OpenStories("q8_0");
  AdapterSpec spec = *AdapterSpec::Create({.rank = 8, .alpha = 16, .targets = kAllProjections}, SizesOf(*model));
  const std::vector<TokenExample> examples = RandomExamples(1, 30, kVocabulary);
  TrainOptions options = SmallTraining();
  options.steps = 60;
  options.learning_rate = 0.01;

  const auto result = TrainAdapter(*model, examples, Adapter::Initial(std::move(spec), 1), options, {}, GoOn);

  ASSERT_THAT(result, IsOk());
  EXPECT_GT(result->first_loss, 3.0);
  EXPECT_LT(result->last_loss, 0.3 * result->first_loss);
}

TEST(TrainAdapterTest, RefusesWhatDoesNotFit) {
  const auto model = *OpenStories("f32");
  const Adapter adapter = AdapterWithB(*model);
  const std::vector<TokenExample> examples = RandomExamples(3, 40, kVocabulary);
  const auto train = [&](std::vector<TokenExample> given, TrainOptions options) {
    return TrainAdapter(*model, given, adapter, options, {}, GoOn);
  };
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

  EXPECT_THAT(train({}, SmallTraining()), HasStatus(kInvalid, "no example"));

  std::vector<TokenExample> changed = examples;
  changed[1].tokens[2] = kVocabulary;
  EXPECT_THAT(train(changed, SmallTraining()), HasStatus(kInvalid, "example 1 has token 512"));
  changed = examples;
  changed[2].tokens[0] = -1;
  EXPECT_THAT(train(changed, SmallTraining()), HasStatus(kInvalid, "token -1"));
  changed = examples;
  changed[0].loss.assign(changed[0].tokens.size(), false);
  changed[0].loss[0] = true;  // predicted from nothing: does not count
  EXPECT_THAT(train(changed, SmallTraining()), HasStatus(kInvalid, "example 0 has no token to learn"));
  changed = examples;
  changed[0].loss.pop_back();
  EXPECT_THAT(train(changed, SmallTraining()), HasStatus(kInvalid, "example 0"));

  changed = {TokenExample{.tokens = std::vector<int32_t>(49, 7), .loss = std::vector<bool>(49, true)}};
  EXPECT_THAT(train(changed, SmallTraining()), HasStatus(kInvalid, "49 tokens"));
  changed[0].tokens.pop_back();
  changed[0].loss.pop_back();
  EXPECT_THAT(train(changed, SmallTraining()), IsOk());

  TrainOptions options = SmallTraining();
  options.sequence_length = 513;  // the model's context is 512
  EXPECT_THAT(train(examples, options), HasStatus(kInvalid, "512"));
  options = SmallTraining();
  options.learning_rate = 0;
  EXPECT_THAT(train(examples, options), HasStatus(kInvalid, "learning_rate"));
}

TEST(TrainAdapterTest, RefusesAnAdapterOfAnotherModel) {
  const auto model = *OpenStories("f32");
  const auto other = *OpenTestModel("synthetic-qwen2-f32");
  const std::vector<TokenExample> examples = RandomExamples(3, 40, 256);
  EXPECT_THAT(TrainAdapter(*model, examples, AdapterWithB(*other), SmallTraining(), {}, GoOn),
              HasStatus(absl::StatusCode::kInvalidArgument, "the adapter"));
  const Adapter adapter = AdapterWithB(*other);
  EXPECT_THAT(MeanLoss(*model, examples, &adapter), HasStatus(absl::StatusCode::kInvalidArgument, "the adapter"));
}

TEST(TrainAdapterTest, AnExplodingTrainingIsAnErrorThatNamesItsStep) {
  const auto model = *OpenStories("f32");
  AdapterSpec spec = *AdapterSpec::Create({.rank = 4, .alpha = 8, .targets = kAllProjections}, SizesOf(*model));
  std::vector<float> a = DeriveA(spec, 7);
  std::vector<float> b(spec.b_size(), 1e37f);
  const Adapter wild = *Adapter::Create(std::move(spec), std::move(a), std::move(b));
  EXPECT_THAT(TrainAdapter(*model, RandomExamples(3, 40, kVocabulary), wild, SmallTraining(), {}, GoOn),
              HasStatus(absl::StatusCode::kInternal, "step 1"));
}

// Passes of other sizes, layers kept or not: the same training, but for rounding where sums are in another order.
TEST(TrainAdapterTest, MemoryDecidesHowItWorksNotWhatIsLearned) {
  const auto model = *OpenStories("q8_0");
  const Adapter adapter = AdapterWithB(*model);
  const std::vector<TokenExample> examples = RandomExamples(30, 40, kVocabulary);
  TrainOptions options = SmallTraining();
  options.micro_batch = 4;
  for (const ProductType products : {ProductType::kFloat32, ProductType::kBfloat16, ProductType::kInt8}) {
    const auto roomy = AdapterTrainer::Create(*model, examples, adapter, options, {.products = products});
    const auto tight =
        AdapterTrainer::Create(*model, examples, adapter, options, {.products = products, .memory_bytes = 1});
    ASSERT_THAT(roomy, IsOk());
    ASSERT_THAT(tight, IsOk());
    EXPECT_EQ((*roomy)->layout().rows, 4u);
    EXPECT_EQ((*roomy)->layout().kept_layers, 5u);
    EXPECT_EQ((*tight)->layout().rows, 1u);
    EXPECT_EQ((*tight)->layout().kept_layers, 0u);
    for (uint32_t i = 0; i < options.steps; ++i) {
      const auto a = (*roomy)->Step(), b = (*tight)->Step();
      ASSERT_THAT(a, IsOk());
      ASSERT_THAT(b, IsOk());
      const double tolerance = products == ProductType::kFloat32 ? 1e-4 : 1e-2;
      EXPECT_NEAR(a->loss, b->loss, tolerance * a->loss);
      EXPECT_NEAR(a->gradient_norm, b->gradient_norm, tolerance * a->gradient_norm);
      EXPECT_EQ(a->tokens, b->tokens);
    }
  }
}

TEST(MeanLossTest, OfTheBaseIsThatOfAnAdapterWithZeroB) {
  const auto model = *OpenStories("q8_0");
  AdapterSpec spec = *AdapterSpec::Create({.rank = 8, .alpha = 16, .targets = kAllProjections}, SizesOf(*model));
  const Adapter initial = Adapter::Initial(std::move(spec), 1);
  const std::vector<TokenExample> examples = RandomExamples(40, 300, kVocabulary);  // several passes
  const auto base = MeanLoss(*model, examples, nullptr);
  ASSERT_THAT(base, IsOk());
  EXPECT_NEAR(*base, LossAt(*model, examples, initial), 1e-6);
}

}  // namespace
}  // namespace fleetune
