// Two runs of an independent implementation (PyTorch autograd in float64 over the dequantized weights): loss and
// gradient norm before each of 20 steps.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.h"
#include "lora/train/trainer.h"
#include "tests/support/status_matchers.h"
#include "tests/support/stories_model.h"

namespace fleetune {
namespace {

using nlohmann::json;

const std::string kGolden = std::string(FLEETUNE_TEST_DATA) + "/golden/";

// The tensors of a safetensors file of f32, joined in the order of `spec`.
std::vector<float> ReadInitialA(const std::string& path, const AdapterSpec& spec) {
  const Bytes bytes = *ReadFile(path, 1 << 20);
  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), sizeof(header_size));
  const json header = json::parse(bytes.begin() + 8, bytes.begin() + 8 + static_cast<std::ptrdiff_t>(header_size));
  const std::vector<std::string> parts = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                          "ffn_gate", "ffn_up", "ffn_down"};
  std::vector<float> a(spec.a_size());
  for (const LoraModule& module : spec.modules()) {
    const json& entry = header.at("blk." + std::to_string(module.layer) + "." +
                                  parts[static_cast<size_t>(module.projection)] + ".weight.lora_a");
    const size_t begin = entry["data_offsets"][0].get<size_t>();
    const size_t size = entry["data_offsets"][1].get<size_t>() - begin;
    EXPECT_EQ(size, size_t{spec.rank()} * module.in * sizeof(float));
    std::memcpy(a.data() + module.a_offset, bytes.data() + 8 + header_size + begin, size);
  }
  return a;
}

std::vector<TokenExample> ReadSequences(const json& run) {
  std::vector<TokenExample> examples;
  for (const json& sequence : run["sequences"]) {
    TokenExample example{.tokens = sequence.get<std::vector<int32_t>>(), .loss = {}};
    example.loss.assign(example.tokens.size(), true);
    examples.push_back(std::move(example));
  }
  return examples;
}

struct GoldenCase {
  size_t run = 0;
  ProductType products = ProductType::kFloat32;
  double tolerance = 1e-3;  // of the first ten steps
};
class GoldenTrainingTest : public ::testing::TestWithParam<GoldenCase> {
 protected:
  const json golden_ = json::parse(std::ifstream(kGolden + "training.json"));
  const json& run_ = golden_["runs"][GetParam().run];

  // The run's steps over stories260K in that type.
  std::vector<TrainStep> Train(const char* weights, ProductType products) const {
    const auto model = *OpenStories(weights);
    std::vector<Projection> targets;
    for (const json& name : run_["targets"]) targets.push_back(*ProjectionFromName(name.get<std::string>()));
    const auto spec = AdapterSpec::Create(
        {.rank = run_["rank"].get<uint32_t>(), .alpha = run_["alpha"].get<float>(), .targets = targets}, SizesOf(*model));
    EXPECT_THAT(spec, IsOk());
    const auto initial = Adapter::Create(*spec, ReadInitialA(kGolden + run_["init"].get<std::string>(), *spec),
                                         std::vector<float>(spec->b_size(), 0.0f));
    EXPECT_THAT(initial, IsOk());
    TrainOptions options;
    options.learning_rate = run_["learning_rate"];
    options.weight_decay = run_["weight_decay"];
    options.clip_gradient_norm = run_["clip_grad_norm"];
    options.factors = run_["train_a"] ? Factors::kBoth : Factors::kB;
    options.steps = 20;
    options.sequence_length = 64;
    options.micro_batch = 4;
    std::vector<TrainStep> steps;
    const auto result = TrainAdapter(*model, ReadSequences(run_), *initial, options, {.products = products},
                                     [&](const TrainStep& step) {
                                       steps.push_back(step);
                                       return true;
                                     });
    EXPECT_THAT(result, IsOk());
    EXPECT_EQ(steps.size(), 20u);
    return steps;
  }
};

TEST_P(GoldenTrainingTest, LossAndGradientNormFollowTheReference) {
  const ProductType products = GetParam().products;
  for (const TrainStep& step : Train("f32", products)) {
    const double loss = run_["loss"][step.step - 1];
    const double norm = run_["grad_norm_before_clip"][step.step - 1];
    // Rounding adds up: later steps are checked more loosely, and with bf16 not at all.
    if (step.step > 10 && products == ProductType::kBfloat16) break;
    const double tolerance = step.step <= 10 ? GetParam().tolerance : 10 * GetParam().tolerance;
    EXPECT_NEAR(step.loss, loss, tolerance * loss) << "step " << step.step;
    EXPECT_NEAR(step.gradient_norm, norm, tolerance * norm) << "step " << step.step;
    RecordProperty("loss" + std::to_string(step.step), std::to_string(step.loss / loss - 1));
  }
}

// Rounding to bf16 shows most where the loss has fallen to 0.3, as that of the second run does.
INSTANTIATE_TEST_SUITE_P(Runs, GoldenTrainingTest,
                         ::testing::Values(GoldenCase{.run = 0}, GoldenCase{.run = 1},
                                           GoldenCase{.run = 0, .products = ProductType::kBfloat16, .tolerance = 0.02},
                                           GoldenCase{
                                               .run = 1, .products = ProductType::kBfloat16, .tolerance = 0.05}));

// The same runs over quantized weights, whose own rounding the reference does not know: int8 products beside those of f32 over
// the same weights.
class Int8GoldenTrainingTest : public GoldenTrainingTest {};

TEST_P(Int8GoldenTrainingTest, LossAndGradientNormFollowThoseOfFloats) {
  const double tolerance = GetParam().tolerance;
  const std::vector<TrainStep> floats = Train("q8_0", ProductType::kFloat32);
  const std::vector<TrainStep> steps = Train("q8_0", GetParam().products);
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_NEAR(steps[i].loss, floats[i].loss, tolerance / 2 * floats[i].loss) << "step " << i + 1;
    EXPECT_NEAR(steps[i].gradient_norm, floats[i].gradient_norm, tolerance * floats[i].gradient_norm) << "step " << i + 1;
  }
}

INSTANTIATE_TEST_SUITE_P(Runs, Int8GoldenTrainingTest,
                         ::testing::Values(GoldenCase{.run = 0, .products = ProductType::kInt8, .tolerance = 0.03},
                                           GoldenCase{.run = 1, .products = ProductType::kInt8, .tolerance = 0.07}));

}  // namespace
}  // namespace fleetune
