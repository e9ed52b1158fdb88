#include "lora/formats/peft_modules.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::IsEmpty;

// A valid configuration; the test changes the one field it is about.
PeftConfig Config() {
  PeftConfig config;
  config.rank = 4;
  config.alpha = 16;
  config.target_modules.names = {"q_proj"};
  return config;
}

// "0.q", "1.q" ... for a base of two layers.
std::vector<std::string> Chosen(const PeftConfig& config) {
  const auto modules = ChoosePeftModules(config, 2);
  EXPECT_THAT(modules, IsOk());
  std::vector<std::string> names;
  if (!modules.ok()) return names;
  for (const auto& [module, shape] : *modules) {
    names.push_back(std::to_string(module.first) + "." + std::string(ProjectionName(module.second)));
  }
  return names;
}

PeftModule Of(const PeftConfig& config, uint32_t layer, Projection projection = Projection::kQ) {
  const auto modules = ChoosePeftModules(config, 2);
  EXPECT_THAT(modules, IsOk());
  return modules.ok() ? modules->at({layer, projection}) : PeftModule{};
}

TEST(PeftModulesTest, NamesAreWholeOrLastParts) {
  PeftConfig config = Config();
  EXPECT_THAT(Chosen(config), ElementsAre("0.q", "1.q"));
  config.target_modules.names = {"model.layers.1.self_attn.v_proj", "mlp.up_proj"};
  EXPECT_THAT(Chosen(config), ElementsAre("0.up", "1.v", "1.up"));
}

TEST(PeftModulesTest, ANameThatNoModuleHasIsAnError) {
  for (const char* name : {"lm_head", "proj", "_proj", "", "model.layers.2.self_attn.q_proj", ".q_proj"}) {
    PeftConfig config = Config();
    config.target_modules.names.push_back(name);
    EXPECT_THAT(ChoosePeftModules(config, 2),
                HasStatus(StatusCode::kInvalidArgument, "target_modules names " + std::string(name)));
  }
}

TEST(PeftModulesTest, PatternsMatchWholeNames) {
  PeftConfig config = Config();
  config.target_modules = {.names = {}, .pattern = R"(.*\.1\..*\.(o|down)_proj)"};
  EXPECT_THAT(Chosen(config), ElementsAre("1.o", "1.down"));
  config.target_modules.pattern = "o_proj";
  EXPECT_THAT(Chosen(config), IsEmpty());
  config.target_modules.pattern = "(";
  EXPECT_THAT(ChoosePeftModules(config, 2),
              HasStatus(StatusCode::kInvalidArgument, "adapter_config.json: target_modules: the pattern"));
}

TEST(PeftModulesTest, AllLinearIsAllSeven) {
  PeftConfig config = Config();
  config.target_modules = {.names = {}, .pattern = "all-linear"};
  EXPECT_EQ(Chosen(config).size(), 2 * kNumProjections);
}

TEST(PeftModulesTest, ExcludedModulesAreNotChosen) {
  PeftConfig config = Config();
  config.exclude_modules.names = {"model.layers.0.self_attn.q_proj", "lm_head"};
  EXPECT_THAT(Chosen(config), ElementsAre("1.q"));
  config.exclude_modules = {.names = {}, .pattern = R"(.*\.1\..*)"};
  EXPECT_THAT(Chosen(config), ElementsAre("0.q"));
}

TEST(PeftModulesTest, LayersChooseAmongNamesThatAreNotWhole) {
  PeftConfig config = Config();
  config.layers_to_transform = {1, 7};
  EXPECT_THAT(Chosen(config), ElementsAre("1.q"));
  config.target_modules.names.push_back("model.layers.0.self_attn.k_proj");
  EXPECT_THAT(Chosen(config), ElementsAre("0.k", "1.q"));
  config.target_modules = {.names = {}, .pattern = ".*q_proj"};
  EXPECT_THAT(Chosen(config), ElementsAre("0.q", "1.q"));
}

TEST(PeftModulesTest, ModulesHaveRanksAndAlphasOfTheirOwn) {
  PeftConfig config = Config();
  config.rank_pattern = {{"model.layers.0.self_attn.q_proj", 8}, {"q_proj", 2}};
  config.alpha_pattern = {{R"(layers\.1\..*)", 32}};
  EXPECT_EQ(Of(config, 0).rank, 8u);
  EXPECT_EQ(Of(config, 0).alpha, 16.0f);
  EXPECT_EQ(Of(config, 1).rank, 2u);
  EXPECT_EQ(Of(config, 1).alpha, 32.0f);
  // An expression begins at a dot or at the start: "_proj" is none of a whole part.
  config.rank_pattern = {{"_proj", 8}, {"^q_proj", 9}, {"^model.layers.0.self_attn.q_proj$", 3}};
  EXPECT_EQ(Of(config, 0).rank, 3u);
  EXPECT_EQ(Of(config, 1).rank, 4u);
  config.alpha_pattern = {{"[", 1}};
  EXPECT_THAT(ChoosePeftModules(config, 2), HasStatus(StatusCode::kInvalidArgument, "alpha_pattern: the pattern"));
}

TEST(PeftModulesTest, RankStabilizedScaleGoesIntoAlphaOfEachRank) {
  PeftConfig config = Config();
  config.rank_stabilized = true;
  config.rank_pattern = {{"layers.1.self_attn.q_proj", 16}};
  EXPECT_EQ(Of(config, 0).alpha, 32.0f);  // 16 / sqrt(4) is 32 / 4
  EXPECT_EQ(Of(config, 1).alpha, 64.0f);  // 16 / sqrt(16) is 64 / 16
}

}  // namespace
}  // namespace fleetune
