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

TEST(PrivacyWordsTest, SaysWhatNoiseThereIs) {
  EXPECT_THAT(NoiseWords({}), HasSubstr("no differential privacy"));
  EXPECT_EQ(NoiseWords({.noise_multiplier = 1.5, .delta = 1e-6, .device_epsilon_limit = 6}),
            "sums have noise of 1.5 times the most that one device adds: differential privacy, at most epsilon 6 for one "
            "device at delta 1e-06");
  EXPECT_EQ(SpentWords({.epsilon = 3.21, .cells = 4}, {.epsilon = 8, .delta = 1e-6}),
            "epsilon 3.21 of 8 is spent in 4 cells (at delta 1e-06)");
}

TEST(PrivacyWordsTest, SaysWhatTheOwnerInsistsOn) {
  PrivacyPolicy policy;
  EXPECT_THAT(PolicyWords(policy), HasSubstr("cells of at least 3 devices"));
  EXPECT_THAT(PolicyWords(policy), HasSubstr("tasks without masks are taken"));
  policy.refuse_unmasked = true;
  EXPECT_THAT(PolicyWords(policy), HasSubstr("tasks without masks are declined"));
  policy = {};
  policy.session.min_noise_multiplier = 0.5;
  EXPECT_THAT(PolicyWords(policy), HasSubstr("noise of at least 0.5; tasks without masks are declined"));
  policy = {};
  policy.session.malicious_profile_only = true;
  policy.session.min_adversarial = 0.05;
  EXPECT_THAT(PolicyWords(policy), HasSubstr("0.05"));
  EXPECT_THAT(PolicyWords(policy), HasSubstr("against a coordinator that lies; tasks without masks are declined"));
}

}  // namespace
}  // namespace fleetune
