// An adapter that another program made, over a real model: every way of applying it gives the log-probabilities that an
// independent implementation gave.

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "gtest/gtest.h"
#include "inference/gguf/gguf_file.h"
#include "inference/runtime/perplexity.h"
#include "lora/adapter/joined.h"
#include "lora/formats/adapter_file.h"
#include "lora/formats/fleetune_adapter_file.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"
#include "tools/model/merge_rows.h"
#include "tools/model/opened_model.h"

namespace fleetune {
namespace {

class AdaptedGoldenTest : public testing::Test {
 protected:
  AdaptedGoldenTest() {
    std::ifstream stream(data_ + "/golden/stories260K-f32-with-peft-adapter.json");
    golden_ = nlohmann::json::parse(stream);
    tokens_ = golden_["tokens"].get<std::vector<int32_t>>();
    const auto file = GgufFile::Open(data_ + "/models/stories260K-f32.gguf");
    EXPECT_THAT(file, IsOk());
    const auto model = Model::Load(*file);
    EXPECT_THAT(model, IsOk());
    model_ = *model;
    base_ = AdapterBaseOf(model_->shape());
  }

  std::vector<double> Predict(std::shared_ptr<const Model> model, std::shared_ptr<const Adapter> adapter) const {
    const auto predicted = NextTokenLogProbabilities(std::move(model), std::move(adapter), tokens_);
    EXPECT_THAT(predicted, IsOk());
    return predicted.ok() ? *predicted : std::vector<double>();
  }

  std::vector<double> PredictWith(const std::string& adapter_path) const {
    const auto adapter = LoadAdapter(adapter_path, base_);
    EXPECT_THAT(adapter, IsOk());
    return adapter.ok() ? Predict(model_, std::make_shared<const Adapter>(*adapter)) : std::vector<double>();
  }

  std::vector<double> PredictMerged(const std::string& adapter_path) const {
    const auto pairs = LoadAdapterPairs(adapter_path, base_);
    EXPECT_THAT(pairs, IsOk());
    if (!pairs.ok()) return {};
    const std::shared_ptr<const Model> merged = Merged(*pairs);
    return merged ? Predict(merged, nullptr) : std::vector<double>();
  }

  // The base with an adapter in its weights; null, and the test fails, if that fails.
  std::shared_ptr<const Model> Merged(const std::vector<LoraPair>& pairs) const {
    const TempFolder folder;
    const std::string path = folder.File("merged.gguf");
    EXPECT_THAT(RewriteModel(model_->file(), {.type = std::nullopt, .changes = MergeRows(pairs)}, path), IsOk());
    const auto file = GgufFile::Open(path);
    EXPECT_THAT(file, IsOk());
    if (!file.ok()) return nullptr;
    const auto merged = Model::Load(*file);
    EXPECT_THAT(merged, IsOk());
    return merged.ok() ? *merged : nullptr;
  }

  static void ExpectNear(const std::vector<double>& got, const std::vector<double>& expected, double tolerance) {
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], tolerance) << i;
  }

  const std::string data_ = FLEETUNE_TEST_DATA;
  const std::string peft_ = data_ + "/golden/peft-adapter";
  const TempFolder folder_;
  nlohmann::json golden_;
  std::vector<int32_t> tokens_;
  std::shared_ptr<const Model> model_;
  AdapterBase base_;
};

TEST_F(AdaptedGoldenTest, PeftAdapterBesideItsBase) {
  const auto expected = golden_["next_token_logprob"].get<std::vector<double>>();
  const std::vector<double> got = PredictWith(peft_);
  ExpectNear(got, expected, 2e-3);
  double loss = 0;
  for (const double value : got) loss -= value;
  EXPECT_NEAR(loss / static_cast<double>(got.size()), golden_["mean_nll"].get<double>(), 1e-5);
  // The adapter does something that the tolerance does not hide.
  const std::vector<double> base = Predict(model_, nullptr);
  double largest = 0;
  for (size_t i = 0; i < got.size(); ++i) largest = std::max(largest, std::abs(got[i] - base[i]));
  EXPECT_GT(largest, 0.1);
}

TEST_F(AdaptedGoldenTest, EveryFormatGivesTheSame) {
  const auto adapter = LoadAdapter(peft_, base_);
  ASSERT_THAT(adapter, IsOk());
  const std::vector<double> expected = PredictWith(peft_);
  for (const AdapterFormat format : {AdapterFormat::kFleetune, AdapterFormat::kPeft, AdapterFormat::kGguf}) {
    const std::string path = folder_.File("adapter" + std::to_string(static_cast<int>(format)));
    ASSERT_THAT(SaveAdapter(path, format, *adapter, base_, "stories260K"), IsOk());
    const auto again = LoadAdapter(path, base_);
    ASSERT_THAT(again, IsOk());
    EXPECT_EQ(SerializeAdapterFile(*again), SerializeAdapterFile(*adapter));  // bit by bit
    ExpectNear(PredictWith(path), expected, 0);
  }
}

TEST_F(AdaptedGoldenTest, MergedIntoItsBase) {
  const auto expected = golden_["next_token_logprob"].get<std::vector<double>>();
  const std::vector<double> got = PredictMerged(peft_);
  ExpectNear(got, expected, 2e-3);
  ExpectNear(got, PredictWith(peft_), 1e-3);
}

// One adapter merged into the weights and another beside them, against both joined beside the base.
TEST_F(AdaptedGoldenTest, JoinedIsTheSumOfBoth) {
  const auto fleet = LoadAdapter(peft_, base_);
  ASSERT_THAT(fleet, IsOk());
  const AdapterSpec spec = *AdapterSpec::Create(
      {.rank = 3, .alpha = 5, .targets = {Projection::kQ, Projection::kO, Projection::kUp}}, base_.sizes);
  SplitMix64 random(6);
  std::vector<float> b(spec.b_size());
  for (float& value : b) value = static_cast<float>(0.2 * (random.NextUnit() - 0.5));
  const auto personal = std::make_shared<const Adapter>(*Adapter::Create(spec, DeriveA(spec, 7), b));

  const auto pairs = LoadAdapterPairs(peft_, base_);
  ASSERT_THAT(pairs, IsOk());
  const std::shared_ptr<const Model> merged = Merged(*pairs);
  ASSERT_NE(merged, nullptr);

  const auto joined = Joined(*personal, *fleet);
  ASSERT_THAT(joined, IsOk());
  const std::vector<double> got = Predict(model_, std::make_shared<const Adapter>(*joined));
  ExpectNear(got, Predict(merged, personal), 1e-4);
  const std::vector<double> without = PredictWith(peft_);
  double largest = 0;
  for (size_t i = 0; i < got.size(); ++i) largest = std::max(largest, std::abs(got[i] - without[i]));
  EXPECT_GT(largest, 0.1);  // what the personal one does is no rounding
}

// Adapters that PEFT made, and what it computed with them: tests/outside/peft_check.py --write-golden.
class PeftMadeTest : public AdaptedGoldenTest {
 protected:
  static std::string Folder(const std::string& name) {
    return std::string(FLEETUNE_SOURCE_DIR) + "/tests/golden/peft_adapter/" + name;
  }
  std::vector<double> Expected(const std::string& name) const {
    std::ifstream stream(Folder(name) + "/expected.json");
    const nlohmann::json expected = nlohmann::json::parse(stream);
    EXPECT_EQ(expected["tokens"].get<std::vector<int32_t>>(), tokens_);
    return expected["next_token_logprob"].get<std::vector<double>>();
  }
};

// rsLoRA, ranks and alphas by patterns, some layers only.
TEST_F(PeftMadeTest, RanksAndAlphasByPatterns) {
  const std::vector<double> expected = Expected("patterns");
  ExpectNear(PredictWith(Folder("patterns")), expected, 1e-3);
  ExpectNear(PredictMerged(Folder("patterns")), expected, 1e-3);
}

// Of q and v in two layers: the others of these targets have no magnitudes.
TEST_F(PeftMadeTest, Dora) {
  const std::vector<double> expected = Expected("dora");
  ExpectNear(PredictMerged(Folder("dora")), expected, 1e-3);
  const std::vector<double> beside = PredictWith(Folder("dora"));
  ExpectNear(beside, expected, 1e-3);
  const std::vector<double> base = Predict(model_, nullptr);
  double largest = 0;
  for (size_t i = 0; i < base.size(); ++i) largest = std::max(largest, std::abs(beside[i] - base[i]));
  EXPECT_GT(largest, 0.05);
}

TEST_F(PeftMadeTest, DoraInFormatsThatHoldIt) {
  const auto adapter = LoadAdapter(Folder("dora"), base_);
  ASSERT_THAT(adapter, IsOk());
  const std::vector<double> expected = PredictWith(Folder("dora"));
  for (const AdapterFormat format : {AdapterFormat::kFleetune, AdapterFormat::kPeft}) {
    const std::string path = folder_.File("dora" + std::to_string(static_cast<int>(format)));
    ASSERT_THAT(SaveAdapter(path, format, *adapter, base_, "stories260K"), IsOk());
    const auto again = LoadAdapter(path, base_);
    ASSERT_THAT(again, IsOk());
    EXPECT_EQ(SerializeAdapterFile(*again), SerializeAdapterFile(*adapter));  // bit by bit
    ExpectNear(PredictWith(path), expected, 0);
    ExpectNear(PredictMerged(path), expected, 1e-3);
  }
  EXPECT_THAT(SaveAdapter(folder_.File("dora.gguf"), AdapterFormat::kGguf, *adapter, base_, "stories260K"),
              HasStatus(absl::StatusCode::kInvalidArgument, "no place for DoRA's magnitudes"));
}

// With the base as Q8_0 and packed products: as the base alone moves, and no more.
TEST_F(PeftMadeTest, DoraBesideAQuantizedBase) {
  const auto quantized = *GgufFile::Open(data_ + "/models/stories260K-q8_0.gguf");
  const auto exact = *Model::Load(quantized);
  const auto fast = *Model::Load(quantized, {.packed = PackedModel::InMemory(*quantized), .workers = nullptr});
  const auto adapter = std::make_shared<const Adapter>(*LoadAdapter(Folder("dora"), base_));
  const std::vector<double> expected = Predict(exact, adapter), got = Predict(fast, adapter);
  const std::vector<double> plain_expected = Predict(exact, nullptr), plain = Predict(fast, nullptr);
  ASSERT_EQ(got.size(), expected.size());
  const std::vector<double> of_floats = Expected("dora");
  double shift = 0, moved = 0, moved_plain = 0, of_quantizing = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    shift += (got[i] - expected[i]) / static_cast<double>(got.size());
    moved += std::abs(got[i] - expected[i]) / static_cast<double>(got.size());
    of_quantizing += std::abs(expected[i] - of_floats[i]) / static_cast<double>(got.size());
    moved_plain += std::abs(plain[i] - plain_expected[i]) / static_cast<double>(got.size());
  }
  EXPECT_LT(std::abs(shift), 0.02);
  EXPECT_LT(moved, 2 * moved_plain);
  EXPECT_LT(of_quantizing, 0.05);
}

TEST_F(PeftMadeTest, DoraIsNotJoinedWithOthers) {
  const auto adapter = LoadAdapter(Folder("dora"), base_);
  const auto plain = LoadAdapter(peft_, base_);
  EXPECT_THAT(Joined(*adapter, *plain), HasStatus(absl::StatusCode::kInvalidArgument, "the upper one is DoRA"));
  EXPECT_THAT(Joined(*plain, *adapter), HasStatus(absl::StatusCode::kInvalidArgument, "the lower one is DoRA"));
}

}  // namespace
}  // namespace fleetune
