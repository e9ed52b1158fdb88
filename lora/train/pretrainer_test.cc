#include "lora/train/pretrainer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/stories_model.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr LlamaShape kTiny = {.architecture = "llama",
                              .vocabulary = 32,
                              .context = 64,
                              .width = 16,
                              .layers = 2,
                              .heads = 4,
                              .kv_heads = 2,
                              .head_size = 4,
                              .rope_size = 4,
                              .feed_forward = 24,
                              .norm_epsilon = 1e-5f,
                              .tied_output = true};

// Sequences that count upwards: what comes next is certain.
std::vector<TokenExample> Counting() {
  std::vector<TokenExample> examples;
  for (int32_t start = 0; start < 16; ++start) {
    TokenExample example;
    for (int32_t i = 0; i < 16; ++i) example.tokens.push_back((start + i) % 32);
    example.loss.assign(16, true);
    examples.push_back(example);
  }
  return examples;
}

TrainOptions Options() {
  TrainOptions options;
  options.steps = 60;
  options.learning_rate = 0.01;
  options.sequence_length = 32;
  options.micro_batch = 8;
  return options;
}

TEST(PretrainModelTest, LearnsToCountAndRepeatsItself) {
  double first = 0, last = 0;
  const auto on_step = [&](const TrainStep& step) {
    if (step.step == 1) first = step.loss;
    last = step.loss;
    return true;
  };
  const auto weights = PretrainModel(kTiny, Counting(), Options(), on_step);
  ASSERT_THAT(weights, IsOk());
  EXPECT_NEAR(first, std::log(32.0), 1.0);
  EXPECT_LT(last, 0.3);
  const auto again = PretrainModel(kTiny, Counting(), Options(), on_step);
  ASSERT_THAT(again, IsOk());
  ASSERT_EQ(weights->size(), again->size());
  for (size_t i = 0; i < weights->size(); ++i) EXPECT_EQ((*weights)[i].values, (*again)[i].values);
}

TEST(PretrainModelTest, RefusesShapesThatItCannotTrain) {
  const auto go_on = [](const TrainStep&) { return true; };
  LlamaShape untied = kTiny;
  untied.tied_output = false;
  EXPECT_THAT(PretrainModel(untied, Counting(), Options(), go_on),
              HasStatus(absl::StatusCode::kInvalidArgument, "tied"));
  EXPECT_THAT(PretrainModel(kTiny, {}, Options(), go_on),
              HasStatus(absl::StatusCode::kInvalidArgument, "no example"));
}

TEST(InitialWeightsTest, HasEveryTensorOfTheShapeOnce) {
  LlamaShape shape = kTiny;
  shape.tied_output = false;
  shape.qkv_bias = true;
  const std::vector<NamedWeight> weights = InitialWeights(shape, 1);
  EXPECT_EQ(weights.size(), 1 + 2 * 12 + 2u);
  uint64_t parameters = 0;
  for (const NamedWeight& weight : weights) {
    EXPECT_EQ(weight.values.size(), weight.rows * weight.columns);
    parameters += weight.values.size();
    const bool is_bias = weight.name.ends_with(".bias");
    const bool is_norm = weight.name.ends_with("norm.weight");
    if (!is_bias && !is_norm) continue;
    EXPECT_EQ(weight.values, std::vector<float>(weight.columns, is_norm ? 1.0f : 0.0f)) << weight.name;
  }
  const uint64_t layer = 2 * 16 + 2 * 16 * 16 + 2 * 8 * 16 + 16 + 8 + 8 + 3 * 16 * 24;
  EXPECT_EQ(parameters, 2 * 32 * 16 + 2 * layer + 16);
}

TEST(InitialWeightsTest, TheSeedDecides) {
  EXPECT_EQ(InitialWeights(kTiny, 1)[0].values, InitialWeights(kTiny, 1)[0].values);
  EXPECT_NE(InitialWeights(kTiny, 1)[0].values, InitialWeights(kTiny, 2)[0].values);
}

}  // namespace
}  // namespace fleetune
