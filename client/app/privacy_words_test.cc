#include "client/app/privacy_words.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(PrivacyWordsTest, SaysWhatTheCoordinatorLearns) {
  EXPECT_EQ(MaskWords({.mode = SecureMode::kOff}), "not masked: the coordinator sees each update");
  SecurePlan plan;
  plan.min_survivors = 7;
  EXPECT_EQ(MaskWords(plan),
            "masked: the coordinator learns only sums over at least 7 devices, as long as it follows "
            "the protocol");
  plan.mode = SecureMode::kMalicious;
  EXPECT_THAT(MaskWords(plan), HasSubstr("even if it does not follow the protocol"));
}

TEST(PrivacyWordsTest, SaysWhatTheOwnerInsistsOn) {
  PrivacyPolicy policy;
  EXPECT_THAT(PolicyWords(policy), HasSubstr("cells of at least 3 devices"));
  EXPECT_THAT(PolicyWords(policy), HasSubstr("tasks without masks are taken"));
  policy.refuse_unmasked = true;
  EXPECT_THAT(PolicyWords(policy), HasSubstr("tasks without masks are declined"));
  policy = {};
  policy.session.malicious_profile_only = true;
  policy.session.min_adversarial = 0.05;
  EXPECT_THAT(PolicyWords(policy), HasSubstr("0.05"));
  EXPECT_THAT(PolicyWords(policy), HasSubstr("against a coordinator that lies; tasks without masks are declined"));
}

}  // namespace
}  // namespace fleetune
