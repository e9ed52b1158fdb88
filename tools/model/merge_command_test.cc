// `fleetune-model merge` as a user runs it.

#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "base/files.h"
#include "base/random.h"
#include "gtest/gtest.h"
#include "inference/gguf/gguf_file.h"
#include "inference/safetensors/safetensors.h"
#include "lora/formats/adapter_file.h"
#include "lora/formats/peft_adapter.h"
#include "tests/support/model_command_line.h"
#include "tests/support/status_matchers.h"
#include "tools/model/opened_model.h"

namespace fleetune {
namespace {

class MergeCommand : public CommandLineFixture {
 protected:
  MergeCommand() {
    const TinyLlama tiny{.width = 32, .feed_forward = 40};
    EXPECT_THAT(tiny.ToWriter().WriteFile(model_), IsOk());
    const AdapterBase base = AdapterBaseOf(*ReadLlamaShape(**GgufFile::Open(model_)));
    const AdapterSpec spec =
        *AdapterSpec::Create({.rank = 2, .alpha = 4, .targets = {Projection::kQ, Projection::kDown}}, base.sizes);
    SplitMix64 random(3);
    std::vector<float> b(spec.b_size());
    for (float& value : b) value = static_cast<float>(random.NextUnit() - 0.5);
    const Adapter adapter = *Adapter::Create(spec, DeriveA(spec, 7), std::move(b));
    EXPECT_THAT(SaveAdapter(adapter_, AdapterFormat::kFleetune, adapter, base, "tiny"), IsOk());
    WriteText(text_, "A small text of some forty bytes, which is two windows of 16 bytes or so.");
  }

  Outcome Merge(const std::string& adapter, const std::string& rest) const {
    return RunTool("merge --model " + model_ + " --adapter " + adapter + " --out " + merged_ + " " + rest);
  }

  // A DoRA adapter of k in layer 1, whose magnitudes are all 2.
  void WriteDora() const {
    const std::string module = "base_model.model.model.layers.1.self_attn.k_proj.";
    const std::vector<FloatTensor> tensors = {{module + "lora_A.weight", {1, 32}, std::vector<float>(32, 0.5f)},
                                              {module + "lora_B.weight", {16, 1}, std::vector<float>(16, 0.25f)},
                                              {module + "lora_magnitude_vector", {16}, std::vector<float>(16, 2.0f)}};
    std::filesystem::create_directories(dora_);
    WriteText(dora_ + "/" + kPeftConfigName, R"({"peft_type": "LORA", "r": 1, "lora_alpha": 2, "use_dora": true,
      "target_modules": ["k_proj"], "layers_to_transform": [1]})");
    EXPECT_THAT(WriteFileAtomic(dora_ + "/" + kPeftTensorsName, SerializeSafetensors(tensors)), IsOk());
  }

  const std::string adapter_ = stem_ + ".fta";
  const std::string text_ = stem_ + ".txt";
  const std::string merged_ = stem_ + ".merged.gguf";
  const std::string dora_ = stem_ + ".dora";
};

TEST_F(MergeCommand, PerplexityIsThatOfTheAdapter) {
  const Outcome outcome = Merge(adapter_, "--window 16 --json --text " + text_);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out;
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["merged"].size(), 4u);
  EXPECT_EQ(json["bytes_before"], json["bytes_after"]);
  const auto& perplexity = json["perplexity"];
  EXPECT_GT(std::abs(perplexity["base"].get<double>() - perplexity["with_adapter"].get<double>()), 0.01);
  EXPECT_NEAR(perplexity["merged"].get<double>(), perplexity["with_adapter"].get<double>(), 1e-3);
  // And it is what the other verb says of the file.
  const auto again = nlohmann::json::parse(
      RunTool("perplexity --model " + merged_ + " --window 16 --json --text " + text_).out);
  EXPECT_EQ(again["perplexity"], perplexity["merged"]);
  const std::string people = Merge(adapter_, "--window 16 --text " + text_).out;
  EXPECT_NE(people.find("4 matrices merged"), std::string::npos) << people;
  EXPECT_NE(people.find("perplexity: base "), std::string::npos) << people;
}

TEST_F(MergeCommand, ATypeIsForAllMatrices) {
  ASSERT_EQ(Merge(adapter_, "--type Q8_0").exit_code, 0);
  const auto file = GgufFile::Open(merged_);
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ((*file)->FindTensor("blk.0.attn_q.weight")->type, TensorType::kQ8_0);
  EXPECT_EQ((*file)->FindTensor("blk.0.attn_k.weight")->type, TensorType::kQ8_0);
  EXPECT_EQ((*file)->FindTensor("blk.0.ffn_down.weight")->type, TensorType::kF16);  // rows of 40
}

TEST_F(MergeCommand, DoraIsMergedAndMeasuredBesideItsBase) {
  WriteDora();
  const Outcome outcome = Merge(dora_, "--window 16 --text " + text_);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out;
  double base = 0, beside = 0, merged = 0;
  const size_t line = outcome.out.find("perplexity: base");
  ASSERT_NE(line, std::string::npos) << outcome.out;
  ASSERT_EQ(std::sscanf(outcome.out.c_str() + line, "perplexity: base %lf, with the adapter %lf, merged %lf", &base, &beside,
                        &merged),
            3)
      << outcome.out;
  EXPECT_NEAR(beside, merged, 1e-3 * merged);
  const auto file = GgufFile::Open(merged_);
  ASSERT_THAT(file, IsOk());
  const GgufTensor& k = *(*file)->FindTensor("blk.1.attn_k.weight");
  for (uint64_t row = 0; row < k.rows; ++row) {
    double square = 0;
    for (uint64_t i = 0; i < k.columns; ++i) {
      float value = 0;
      std::memcpy(&value, k.row(row).data() + 4 * i, 4);
      square += static_cast<double>(value) * static_cast<double>(value);
    }
    EXPECT_NEAR(std::sqrt(square), 2, 1e-6);
  }
  const Outcome gguf = RunTool("convert --model " + model_ + " " + dora_ + " " + merged_ + " --format gguf");
  EXPECT_EQ(gguf.exit_code, 1);
  EXPECT_NE(gguf.out.find("no place for DoRA's magnitudes"), std::string::npos) << gguf.out;
}

TEST_F(MergeCommand, WrongInputIsExitCodeOneAndNothingIsWritten) {
  const auto expect = [this](const Outcome& outcome, const std::string& part) {
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_NE(outcome.out.find(part), std::string::npos) << outcome.out;
    EXPECT_FALSE(std::filesystem::exists(merged_));
  };
  expect(Merge("/nonexistent.fta", ""), "/nonexistent.fta");
  expect(Merge(adapter_, "--text /nonexistent.txt"), "/nonexistent.txt");
  expect(Merge(adapter_, "--text " + text_), text_);  // no window of 256 tokens
  expect(Merge(model_, ""), "general.type is missing");
  EXPECT_EQ(RunTool("merge --model " + model_ + " --adapter " + adapter_ + " --out /nonexistent/m.gguf").exit_code, 1);
}

TEST_F(MergeCommand, WrongUseIsExitCodeTwo) {
  EXPECT_EQ(Merge(adapter_, "--type q3_k").exit_code, 2);
  EXPECT_EQ(Merge(adapter_, "--window 1").exit_code, 2);
  EXPECT_EQ(RunTool("merge --model " + model_ + " --adapter " + adapter_).exit_code, 2);
  EXPECT_FALSE(std::filesystem::exists(merged_));
}

}  // namespace
}  // namespace fleetune
