#include "lora/formats/module_pattern.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

constexpr char kName[] = "model.layers.11.self_attn.q_proj";

bool Matches(std::string_view expression) {
  const auto pattern = ModulePattern::Compile(expression);
  EXPECT_THAT(pattern, IsOk());
  if (!pattern.ok()) return false;
  const auto matches = pattern->Matches(kName);
  EXPECT_THAT(matches, IsOk()) << expression;
  return matches.ok() && *matches;
}

TEST(ModulePatternTest, MatchesWholeNames) {
  EXPECT_TRUE(Matches(R"(.*\.(q|k)_proj)"));
  EXPECT_TRUE(Matches(R"(.*\.(q|k)_proj$)"));
  EXPECT_TRUE(Matches(R"(model\.layers\.(0|1|11)\..*(q_proj|v_proj))"));
  EXPECT_TRUE(Matches(R"(.*layers\.\d+\.(?P<part>self_attn|mlp)\.[a-z]+_proj)"));
  EXPECT_TRUE(Matches(R"((?:.*\.)?self_attn\.[qkv]_proj)"));
  EXPECT_FALSE(Matches("q_proj"));
  EXPECT_FALSE(Matches("model"));
  EXPECT_FALSE(Matches(R"(.*\.v_proj)"));
  EXPECT_FALSE(Matches(R"(.*layers\.1\..*)"));
  EXPECT_FALSE(Matches(""));
}

TEST(ModulePatternTest, RefusesWhatIsNoExpression) {
  EXPECT_THAT(ModulePattern::Compile("(q_proj"), HasStatus(StatusCode::kInvalidArgument, "\"(q_proj\" is no regular"));
  EXPECT_THAT(ModulePattern::Compile("*"), HasStatus(StatusCode::kInvalidArgument, "at character"));
  EXPECT_THAT(ModulePattern::Compile(std::string("(\n\0", 3)), HasStatus(StatusCode::kInvalidArgument, "\"(??\""));
  EXPECT_THAT(ModulePattern::Compile(std::string(100'000, '(')), HasStatus(StatusCode::kInvalidArgument, "bytes"));
  EXPECT_THAT(ModulePattern::Compile("((((a{1000}){1000}){1000}){1000})"), HasStatus(StatusCode::kInvalidArgument, ""));
}

TEST(ModulePatternTest, LengthIsLimitedOnBothSides) {
  EXPECT_THAT(ModulePattern::Compile(std::string(kMaxModulePatternBytes, 'a')), IsOk());
  EXPECT_THAT(ModulePattern::Compile(std::string(kMaxModulePatternBytes + 1, 'a')),
              HasStatus(StatusCode::kInvalidArgument, "bytes"));
}

TEST(ModulePatternTest, GivesUpOnCostlyMatches) {
  const auto pattern = ModulePattern::Compile("((.+)+)+[!?]");
  ASSERT_THAT(pattern, IsOk());
  EXPECT_THAT(pattern->Matches(kName), HasStatus(StatusCode::kInvalidArgument, "too costly"));
}

}  // namespace
}  // namespace fleetune
