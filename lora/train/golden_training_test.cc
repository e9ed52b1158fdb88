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
class GoldenTrainingTest : public ::testing::TestWithParam<GoldenCase> {};

TEST_P(GoldenTrainingTest, LossAndGradientNormFollowTheReference) {
  const json golden = json::parse(std::ifstream(kGolden + "training.json"));
  const json& run = golden["runs"][GetParam().run];
  const auto model = *OpenStories("f32");
  std::vector<Projection> targets;
  for (const json& name : run["targets"]) targets.push_back(*ProjectionFromName(name.get<std::string>()));
  const auto spec = AdapterSpec::Create(
      {.rank = run["rank"].get<uint32_t>(), .alpha = run["alpha"].get<float>(), .targets = targets}, SizesOf(*model));
  ASSERT_THAT(spec, IsOk());
  const auto initial = Adapter::Create(*spec, ReadInitialA(kGolden + run["init"].get<std::string>(), *spec),
                                       std::vector<float>(spec->b_size(), 0.0f));
  ASSERT_THAT(initial, IsOk());
  const std::vector<TokenExample> examples = ReadSequences(run);
  TrainOptions options;
  options.learning_rate = run["learning_rate"];
  options.weight_decay = run["weight_decay"];
  options.clip_gradient_norm = run["clip_grad_norm"];
  options.factors = run["train_a"] ? Factors::kBoth : Factors::kB;
  options.steps = 20;
  options.sequence_length = 64;
  options.micro_batch = 4;

  const TrainMachine machine = {.products = GetParam().products};
  const auto result = TrainAdapter(*model, examples, *initial, options, machine, [&](const TrainStep& step) {
    const double loss = run["loss"][step.step - 1];
    const double norm = run["grad_norm_before_clip"][step.step - 1];
    // Rounding adds up: later steps are checked more loosely, and with bf16 not at all.
    if (step.step > 10 && machine.products == ProductType::kBfloat16) return true;
    const double tolerance = step.step <= 10 ? GetParam().tolerance : 10 * GetParam().tolerance;
    EXPECT_NEAR(step.loss, loss, tolerance * loss) << "step " << step.step;
    EXPECT_NEAR(step.gradient_norm, norm, tolerance * norm) << "step " << step.step;
    RecordProperty("loss" + std::to_string(step.step), std::to_string(step.loss / loss - 1));
    return true;
  });

  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->steps, 20u);
}

// Rounding to bf16 shows most where the loss has fallen to 0.3, as that of the second run does.
INSTANTIATE_TEST_SUITE_P(Runs, GoldenTrainingTest,
                         ::testing::Values(GoldenCase{.run = 0}, GoldenCase{.run = 1},
                                           GoldenCase{.run = 0, .products = ProductType::kBfloat16, .tolerance = 0.02},
                                           GoldenCase{
                                               .run = 1, .products = ProductType::kBfloat16, .tolerance = 0.05}));

}  // namespace
}  // namespace fleetune
