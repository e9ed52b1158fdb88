// Log-probabilities against the golden files of an independent implementation in float64.

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "gtest/gtest.h"
#include "inference/runtime/perplexity.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

struct GoldenCase {
  const char* name;
  double mean_tolerance;  // 1e-5 for F32 weights, else 2e-4
};

class GoldenTest : public testing::TestWithParam<GoldenCase> {};

TEST_P(GoldenTest, LogProbabilitiesMatch) {
  const std::string name = GetParam().name;
  const std::string data = FLEETUNE_TEST_DATA;
  std::ifstream stream(data + "/golden/" + name + ".json");
  const nlohmann::json golden = nlohmann::json::parse(stream);
  const auto file = GgufFile::Open(data + "/models/" + name + ".gguf");
  ASSERT_THAT(file, IsOk());
  const auto model = Model::Load(*file);
  ASSERT_THAT(model, IsOk());
  const auto predictions = PredictTokens(*model, nullptr, golden["tokens"].get<std::vector<int32_t>>());
  ASSERT_THAT(predictions, IsOk());
  const auto expected = golden["next_token_logprob"].get<std::vector<double>>();
  ASSERT_EQ(predictions->log_probability.size(), expected.size());
  double loss = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(predictions->log_probability[i], expected[i], 2e-3) << i;
    loss -= predictions->log_probability[i];
  }
  EXPECT_NEAR(loss / static_cast<double>(expected.size()), golden["mean_nll"].get<double>(),
              GetParam().mean_tolerance);
  EXPECT_EQ(predictions->likeliest, golden["argmax"].get<std::vector<int32_t>>());
}

INSTANTIATE_TEST_SUITE_P(
    Models, GoldenTest,
    testing::Values(GoldenCase{"stories260K-f32", 1e-5}, GoldenCase{"stories260K-bf16", 2e-4},
                    GoldenCase{"stories260K-q8_0", 2e-4}, GoldenCase{"stories260K-q4_0", 2e-4},
                    GoldenCase{"synthetic-qwen2-f32", 1e-5}, GoldenCase{"synthetic-llama-untied-f32", 1e-5}));

}  // namespace
}  // namespace fleetune
