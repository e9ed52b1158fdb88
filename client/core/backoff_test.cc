#include "client/core/backoff.h"

#include "gtest/gtest.h"

namespace fleetune {
namespace {

using std::chrono::milliseconds;
constexpr BackoffOptions kOptions = {.first = milliseconds(1000), .most = milliseconds(8000)};

TEST(BackoffTest, DoublesUpToTheMostAndIsHalfRandom) {
  SplitMix64 random(1);
  const int64_t longest[] = {1000, 2000, 4000, 8000, 8000, 8000};
  for (uint32_t failures = 1; failures <= 6; ++failures) {
    for (int i = 0; i < 200; ++i) {
      const milliseconds delay = BackoffDelay(failures, kOptions, random);
      EXPECT_GE(delay.count(), longest[failures - 1] / 2);
      EXPECT_LE(delay.count(), longest[failures - 1]);
    }
  }
}

TEST(BackoffTest, NeitherNoneNorVeryManyFailuresOverflow) {
  SplitMix64 random(1);
  EXPECT_LE(BackoffDelay(0, kOptions, random), milliseconds(1000));
  EXPECT_LE(BackoffDelay(UINT32_MAX, {}, random), BackoffOptions{}.most);
  EXPECT_GE(BackoffDelay(UINT32_MAX, {}, random), BackoffOptions{}.most / 2);
}

TEST(BackoffTest, DevicesDoNotComeBackTogether) {
  SplitMix64 one(1);
  SplitMix64 other(2);
  EXPECT_NE(BackoffDelay(10, {}, one), BackoffDelay(10, {}, other));
}

}  // namespace
}  // namespace fleetune
