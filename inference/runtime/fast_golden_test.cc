// The fast engine against the golden files of an independent implementation in float64: vectors in int8, keys and
// values in F16.

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "inference/runtime/engine.h"
#include "inference/runtime/perplexity.h"
#include "inference/tokenizer/tokenizer.h"
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

// Rounding of vectors to int8 goes either way from token to token, so perplexity is compared over more of them than a
// golden file has; the exact engine, over the same weights, agrees with the golden files to 2e-4.
double PerplexityOfText(const std::string& model_path, const EngineOptions& options) {
  const auto model = OpenModel(model_path, options);
  EXPECT_THAT(model, IsOk());
  const auto tokenizer = Tokenizer::FromGguf((*model)->file());
  EXPECT_THAT(tokenizer, IsOk());
  std::ifstream stream(std::string(FLEETUNE_TEST_DATA) + "/text/tinystories_1000.txt");
  std::string text(60'000, ' ');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  EXPECT_EQ(stream.gcount(), 60'000);
  const std::vector<int32_t> ids = (*tokenizer)->Encode(text, {});
  const auto perplexity = PerplexityOverWindows(*model, nullptr, ids, 256, (*tokenizer)->bos().value_or(-1));
  EXPECT_THAT(perplexity, IsOk());
  return std::exp(perplexity->mean_loss);
}

TEST(FastPerplexity, IsThatOfTheSameWeightsInFloats) {
  struct Limit {
    const char* name;
    double relative;
  };
  for (const Limit& limit : {Limit{"stories260K-q8_0", 0.001}, Limit{"stories260K-q4_0", 0.01}}) {
    const std::string path = std::string(FLEETUNE_TEST_DATA) + "/models/" + limit.name + ".gguf";
    const double exact = PerplexityOfText(path, {.exact = true});
    // The products of other sets have the same bits.
    const double fast = PerplexityOfText(path, {});
    EXPECT_NEAR(fast / exact, 1, limit.relative) << limit.name;
    const double with_codes = PerplexityOfText(path, {.cache_type = TensorType::kQ8_0});
    EXPECT_NEAR(with_codes / exact, 1, 0.006) << limit.name << ", keys and values in Q8_0";
    RecordProperty(limit.name, fmt::format("F16 {:.5f}, Q8_0 {:.5f}", fast / exact - 1, with_codes / exact - 1));
  }
}

}  // namespace
}  // namespace fleetune
