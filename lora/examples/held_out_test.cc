#include "lora/examples/held_out.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

const std::vector<uint8_t> kSecret = {1, 2, 3};

std::string RecordOf(int number) { return "{\"text\":\"note " + std::to_string(number) + "\"}"; }

int CountHeldOut(std::span<const uint8_t> secret, double share) {
  int held_out = 0;
  for (int i = 0; i < 10'000; ++i) held_out += IsHeldOut(RecordOf(i), secret, share) ? 1 : 0;
  return held_out;
}

TEST(IsHeldOutTest, ItIsAboutTheShare) {
  EXPECT_EQ(CountHeldOut(kSecret, 0), 0);
  EXPECT_EQ(CountHeldOut(kSecret, 1), 10'000);
  EXPECT_NEAR(CountHeldOut(kSecret, 0.1), 1'000, 120);  // four deviations
  EXPECT_NEAR(CountHeldOut(kSecret, 0.5), 5'000, 200);
}

TEST(IsHeldOutTest, ALargerShareOnlyAdds) {
  for (int i = 0; i < 1'000; ++i) {
    if (IsHeldOut(RecordOf(i), kSecret, 0.1)) {
      EXPECT_TRUE(IsHeldOut(RecordOf(i), kSecret, 0.2)) << i;
    }
  }
}

// The bits themselves, from Python's hmac: a device keeps its part over versions of the program.
TEST(IsHeldOutTest, ARecordStaysWhereItIs) {
  std::string part;
  for (int i = 0; i < 40; ++i) part += IsHeldOut(RecordOf(i), kSecret, 0.25) ? '1' : '0';
  EXPECT_EQ(part, "0000000000010001110000010000010000100001");
}

TEST(IsHeldOutTest, AnotherSecretDrawsAnotherPart) {
  int both = 0;
  for (int i = 0; i < 10'000; ++i) {
    both += IsHeldOut(RecordOf(i), kSecret, 0.1) && IsHeldOut(RecordOf(i), std::vector<uint8_t>{9}, 0.1) ? 1 : 0;
  }
  EXPECT_NEAR(both, 100, 40);
}

TEST(SplitHeldOutTest, WhatIsAddedMovesNothing) {
  std::vector<Record> records;
  for (int i = 0; i < 40; ++i) records.push_back(PlainText{"note " + std::to_string(i)});
  const auto few = SplitHeldOut({records.begin(), records.begin() + 20}, kSecret, 0.25);
  const auto many = SplitHeldOut(records, kSecret, 0.25);
  ASSERT_THAT(few, IsOk());
  ASSERT_THAT(many, IsOk());
  EXPECT_EQ(few->learned.size() + few->held_out.size(), 20u);
  EXPECT_EQ(many->learned.size() + many->held_out.size(), 40u);
  ASSERT_FALSE(few->held_out.empty());
  EXPECT_TRUE(std::equal(few->held_out.begin(), few->held_out.end(), many->held_out.begin()));
  EXPECT_TRUE(std::equal(few->learned.begin(), few->learned.end(), many->learned.begin()));
}

TEST(SplitHeldOutTest, SomethingMustBeLeftToLearn) {
  const std::vector<Record> records = {PlainText{"a"}, PlainText{"b"}};
  EXPECT_EQ(SplitHeldOut(records, kSecret, 0)->learned, records);
  EXPECT_THAT(SplitHeldOut(records, kSecret, 1), HasStatus(absl::StatusCode::kFailedPrecondition, "all 2 records"));
}

}  // namespace
}  // namespace fleetune
