#include "inference/runtime/pass_plan.h"

#include <numeric>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "inference/model/joint_pass.h"

namespace fleetune {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<PassShare> Plan(const std::vector<size_t>& prompt_left) { return PlanPass(prompt_left); }

TEST(PassPlan, OneAnswerDraftsWhatItLikes) { EXPECT_THAT(Plan({0}), ElementsAre(PassShare{.draft_tokens = 15})); }

TEST(PassPlan, ManyAnswersDraftLess) {
  EXPECT_THAT(Plan({0, 0, 0, 0}), testing::Each(PassShare{.draft_tokens = 3}));
  EXPECT_THAT(Plan(std::vector<size_t>(8, 0)), testing::Each(PassShare{.draft_tokens = 1}));
  EXPECT_THAT(Plan(std::vector<size_t>(16, 0)), testing::Each(PassShare{}));
  EXPECT_THAT(Plan(std::vector<size_t>(64, 0)), testing::Each(PassShare{}));
}

TEST(PassPlan, APromptAloneHasTheWholePass) {
  EXPECT_THAT(Plan({1000}), ElementsAre(PassShare{.prompt_tokens = kPassTokens}));
  EXPECT_THAT(Plan({5}), ElementsAre(PassShare{.prompt_tokens = 5}));
}

TEST(PassPlan, AnswersAreNotHeldUpByPrompts) {
  EXPECT_THAT(Plan({0, 1000}),
              ElementsAre(PassShare{.draft_tokens = 15}, PassShare{.prompt_tokens = kPromptTokensBeside}));
}

TEST(PassPlan, PromptsShareAndLeaveWhatTheyDoNotNeed) {
  EXPECT_THAT(Plan({1000, 4, 1000}), ElementsAre(PassShare{.prompt_tokens = 62}, PassShare{.prompt_tokens = 4},
                                                 PassShare{.prompt_tokens = 62}));
}

TEST(PassPlan, EverybodyMovesOn) {
  std::vector<size_t> many(64, 1000);
  many[3] = 0;
  const std::vector<PassShare> shares = Plan(many);
  for (size_t i = 0; i < shares.size(); ++i) EXPECT_EQ(shares[i].prompt_tokens, i == 3 ? 0u : 1u);
  EXPECT_THAT(Plan({}), IsEmpty());
}

}  // namespace
}  // namespace fleetune
