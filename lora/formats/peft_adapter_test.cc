#include "lora/formats/peft_adapter.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "inference/safetensors/safetensors.h"
#include "tests/support/small_adapter.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

TEST(PeftAdapterTest, RefusesTensorsThatItWouldIgnore) {
  const AdapterBase base = SmallBase();
  const auto files = WritePeftAdapter(RandomAdapter(base), base, "a base");
  ASSERT_THAT(files, IsOk());
  const auto renamed = [&](const std::string& from, const std::string& to) {
    EXPECT_EQ(from.size(), to.size());  // so that the header keeps its size
    std::string text(AsText(files->tensors));
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    return ReadPeftAdapter(files->config, AsBytes(text), base).status();
  };
  EXPECT_THAT(renamed("layers.0.", "layers.0."), IsOk());
  EXPECT_THAT(renamed("layers.0.", "layers.7."), HasStatus(StatusCode::kInvalidArgument, "2 layers"));
  EXPECT_THAT(renamed("model.model.layers.0.", "model.model.blocks.0."),
              HasStatus(StatusCode::kInvalidArgument, "cannot be left out"));
  EXPECT_THAT(renamed("0.self_attn.q_proj", "0.self_attn.x_proj"),
              HasStatus(StatusCode::kInvalidArgument, "x_proj"));
  EXPECT_THAT(renamed("0.self_attn.q_proj.lora_A", "0.self_attn.q_proj.lora_X"),
              HasStatus(StatusCode::kInvalidArgument, "lora_X"));
  EXPECT_THAT(renamed("0.self_attn.q_proj.lora_A", "0.self_attn.q_proj.lora_B"),
              HasStatus(StatusCode::kInvalidArgument, ""));
  EXPECT_THAT(renamed("[3,6]", "[6,3]"), HasStatus(StatusCode::kInvalidArgument, "expected 6 x 6, got 6 x 3"));
  EXPECT_THAT(renamed("[3,6]", "[ 18]"), HasStatus(StatusCode::kInvalidArgument, "expected 2 axes"));
}

TEST(PeftAdapterTest, ConfigAndTensorsMustAgree) {
  const AdapterBase base = SmallBase();
  const auto files = WritePeftAdapter(RandomAdapter(base), base, "a base");
  ASSERT_THAT(files, IsOk());
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string config = files->config;
    const size_t at = config.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return ReadPeftAdapter(config.replace(at, from.size(), to), files->tensors, base).status();
  };
  EXPECT_THAT(replaced("\"q_proj\",", ""), HasStatus(StatusCode::kInvalidArgument, "self_attn.q_proj are there"));
  EXPECT_THAT(replaced("\"q_proj\",", "\"q_proj\", \"lm_head\","),
              HasStatus(StatusCode::kInvalidArgument, "names lm_head, which is no module"));
  EXPECT_THAT(replaced("\"r\": 3", "\"r\": 4"), HasStatus(StatusCode::kInvalidArgument, "rank 3, expected 4"));
  EXPECT_THAT(replaced("\"q_proj\",", "\"q_proj\","), IsOk());
  EXPECT_THAT(replaced("\"bias\"", "\"use_dora\": true, \"bias\""),
              HasStatus(StatusCode::kInvalidArgument, "have no magnitude"));
  EXPECT_THAT(replaced("\"bias\"", "\"layers_to_transform\": [0], \"bias\""),
              HasStatus(StatusCode::kInvalidArgument, "layers.1.self_attn.q_proj are there"));
}

// Files with tensors of our choosing, as PEFT names them.
absl::StatusOr<std::vector<LoraPair>> Read(const std::string& more_config, const std::vector<FloatTensor>& tensors) {
  const std::string config = R"({"peft_type": "LORA", "r": 1, "lora_alpha": 2, )" + more_config + "}";
  return ReadPeftAdapter(config, SerializeSafetensors(tensors), SmallBase());
}

std::vector<FloatTensor> OneModule(const std::string& magnitude_name = "") {
  const std::string module = "base_model.model.model.layers.1.self_attn.k_proj.";
  std::vector<FloatTensor> tensors = {{module + "lora_A.weight", {1, 6}, {1, 2, 3, 4, 5, 6}},
                                      {module + "lora_B.weight", {4, 1}, {1, 2, 3, 4}}};
  if (!magnitude_name.empty()) tensors.push_back({module + magnitude_name, {4}, {5, 6, 7, 8}});
  return tensors;
}

TEST(PeftAdapterTest, ReadsDoraMagnitudesUnderBothNames) {
  const std::string config = R"("target_modules": ".*1.self_attn.k_proj", "use_dora": true)";
  for (const char* name : {"lora_magnitude_vector", "lora_magnitude_vector.weight"}) {
    const auto pairs = Read(config, OneModule(name));
    ASSERT_THAT(pairs, IsOk());
    EXPECT_THAT(pairs->front().b, testing::ElementsAre(1, 3, 2, 4));  // one head, its halves interleaved
    EXPECT_THAT(pairs->front().magnitude, testing::ElementsAre(5, 7, 6, 8));
  }
  EXPECT_THAT(Read(config, OneModule()), HasStatus(StatusCode::kInvalidArgument, "have no magnitude"));
  EXPECT_THAT(Read(R"("target_modules": ".*1.self_attn.k_proj")", OneModule("lora_magnitude_vector")),
              HasStatus(StatusCode::kInvalidArgument, "use_dora is not set"));
}

TEST(PeftAdapterTest, ReadsSomeLayers) {
  EXPECT_THAT(Read(R"("target_modules": ["k_proj"], "layers_to_transform": 1)", OneModule()), IsOk());
  EXPECT_THAT(Read(R"("target_modules": ["k_proj"], "exclude_modules": ".*\\.0\\..*")", OneModule()), IsOk());
  EXPECT_THAT(Read(R"("target_modules": ["k_proj"])", OneModule()),
              HasStatus(StatusCode::kInvalidArgument, "layers.0.self_attn.k_proj, of which there is no tensor"));
}

TEST(PeftAdapterTest, TrainedBiasesAreRefusedByName) {
  std::vector<FloatTensor> tensors = OneModule();
  const std::string config = R"("target_modules": ["k_proj"], "layers_to_transform": [1], "bias": "lora_only")";
  EXPECT_THAT(Read(config, tensors), IsOk());
  tensors.push_back({"base_model.model.model.layers.1.self_attn.k_proj.bias", {4}, {1, 2, 3, 4}});
  EXPECT_THAT(Read(config, tensors), HasStatus(StatusCode::kInvalidArgument, "k_proj.bias\" is no LoRA matrix"));
}

}  // namespace
}  // namespace fleetune
