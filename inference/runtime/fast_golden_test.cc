// The fast engine against the golden files of an independent implementation in float64: vectors in int8, keys and values in
// halves.

#include <fstream>
#include <nlohmann/json.hpp>

#include "gtest/gtest.h"
#include "inference/runtime/engine.h"
#include "inference/runtime/perplexity.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

class FastGoldenTest : public testing::TestWithParam<const char*> {};

TEST_P(FastGoldenTest, MeanLogProbabilityMatches) {
  const std::string name = GetParam();
  const std::string data = FLEETUNE_TEST_DATA;
  std::ifstream stream(data + "/golden/" + name + ".json");
  const nlohmann::json golden = nlohmann::json::parse(stream);
  for (const InstructionSet set : UsableInstructionSets()) {
    const auto model = OpenModel(data + "/models/" + name + ".gguf", {.set = set});
    ASSERT_THAT(model, IsOk());
    ASSERT_NE((*model)->packed_weights(), nullptr);
    const auto predicted =
        NextTokenLogProbabilities(*model, nullptr, golden["tokens"].get<std::vector<int32_t>>());
    ASSERT_THAT(predicted, IsOk());
    double loss = 0;
    for (const double value : *predicted) loss -= value;
    loss /= static_cast<double>(predicted->size());
    EXPECT_NEAR(loss, golden["mean_nll"].get<double>(), 0.02) << InstructionSetName(set);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, FastGoldenTest,
                         testing::Values("stories260K-f32", "stories260K-bf16", "stories260K-q8_0",
                                         "stories260K-q4_0", "synthetic-qwen2-f32", "synthetic-llama-untied-f32"));

}  // namespace
}  // namespace fleetune
