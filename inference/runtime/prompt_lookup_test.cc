#include "inference/runtime/prompt_lookup.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using Tokens = std::vector<int32_t>;

PromptLookup After(const Tokens& tokens, size_t most = 8) {
  PromptLookup lookup(most);
  lookup.Saw(tokens);
  return lookup;
}

TEST(PromptLookup, GoesOnAsTheTextDidBefore) {
  EXPECT_THAT(After({1, 2, 3, 4, 5, 9, 1, 2}).Draft(8), ElementsAre(3, 4, 5));
  EXPECT_THAT(After({1, 2, 3, 4, 5, 9, 1, 2}).Draft(2), ElementsAre(3, 4));
  EXPECT_THAT(After({1, 2, 3, 4, 5, 9, 1, 2}).Draft(0), IsEmpty());
}

TEST(PromptLookup, TheLongestMatchWinsAndOfEqualsTheLatest) {
  EXPECT_THAT(After({7, 1, 2, 30, 8, 1, 2, 40, 7, 1, 2}).Draft(1), ElementsAre(30));
  EXPECT_THAT(After({7, 1, 2, 30, 7, 1, 2, 40, 7, 1, 2}).Draft(1), ElementsAre(40));
}

TEST(PromptLookup, ALoopGoesRound) {
  EXPECT_THAT(After({5, 1, 2, 1, 2}).Draft(3), ElementsAre(1, 2, 1));
  EXPECT_THAT(After({4, 4, 4}).Draft(3), ElementsAre(4, 4, 4));
}

TEST(PromptLookup, NothingToGoBy) {
  EXPECT_THAT(After({}).Draft(8), IsEmpty());
  EXPECT_THAT(After({1}).Draft(8), IsEmpty());
  EXPECT_THAT(After({1, 1}).Draft(8), IsEmpty());  // one token alike is too little
  EXPECT_THAT(After({1, 2, 3, 4}).Draft(8), IsEmpty());
  EXPECT_THAT(After({1, 2, 3, 1, 2}, /*most=*/0).Draft(8), IsEmpty());
}

TEST(PromptLookup, DraftsGrowWhileTheyComeTrue) {
  Tokens text(40, 0);
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<int32_t>(i % 20);
  PromptLookup lookup = After(text);
  EXPECT_EQ(lookup.Draft(99).size(), PromptLookup::kFirstDraft);
  lookup.Learn(3, 3);
  EXPECT_EQ(lookup.Draft(99).size(), 6u);
  lookup.Learn(6, 6);
  EXPECT_EQ(lookup.Draft(99).size(), 8u);
  lookup.Learn(8, 1);
  EXPECT_EQ(lookup.Draft(99).size(), 2u);
}

TEST(PromptLookup, WrongDraftsAreLeftOffForLongerAndLonger) {
  PromptLookup lookup = After(Tokens(10, 6));
  size_t pause = 0;
  for (const size_t expected : {2u, 4u, 8u, 16u, 32u, 64u, 64u}) {
    lookup.Learn(1, 0);
    for (pause = 0; lookup.Draft(8).empty(); ++pause) lookup.Saw(Tokens{6});
    EXPECT_EQ(pause, expected);
    EXPECT_EQ(lookup.Draft(8).size(), 1u);
  }
  lookup.Learn(1, 1);
  EXPECT_EQ(lookup.Draft(8).size(), 2u);
  lookup.Learn(1, 0);
  lookup.Saw(Tokens{6, 6});
  EXPECT_EQ(lookup.Draft(8).size(), 1u);  // it begins anew
}

}  // namespace
}  // namespace fleetune
