#include "base/hex.h"

#include "base/digest.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;

TEST(HexTest, WritesLowerCaseAndReadsBoth) {
  const std::vector<uint8_t> bytes = {0x00, 0x9f, 0xab, 0xff};
  EXPECT_EQ(ToHex(bytes), "009fabff");
  EXPECT_EQ(*FromHex("009fABff"), bytes);
  EXPECT_EQ(ToHex({}), "");
  EXPECT_TRUE(FromHex("")->empty());
}

TEST(HexTest, RefusesOddLengthAndOtherCharacters) {
  EXPECT_THAT(FromHex("abc"), HasStatus(StatusCode::kInvalidArgument, "odd"));
  // The characters beside the digits and letters in ASCII, in either place.
  for (const std::string bad : {"/", ":", "@", "G", "`", "g", " ", "\x80"}) {
    EXPECT_THAT(FromHex("00" + bad + "0"), HasStatus(StatusCode::kInvalidArgument, "at byte 1"));
    EXPECT_THAT(FromHex("000" + bad), HasStatus(StatusCode::kInvalidArgument, "at byte 1"));
  }
}

TEST(DigestTest, GoesThroughHexAndBack) {
  Digest digest;
  for (size_t i = 0; i < digest.bytes.size(); ++i) digest.bytes[i] = static_cast<uint8_t>(i);
  const std::string hex = digest.ToHex();
  EXPECT_EQ(hex, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
  EXPECT_EQ(*Digest::FromHex(hex), digest);
}

TEST(DigestTest, RefusesAnotherLength) {
  EXPECT_THAT(Digest::FromHex(std::string(62, '0')), HasStatus(StatusCode::kInvalidArgument, "got 62"));
  EXPECT_THAT(Digest::FromHex(std::string(66, '0')), HasStatus(StatusCode::kInvalidArgument, "got 66"));
  EXPECT_THAT(Digest::FromHex(std::string(64, 'x')), HasStatus(StatusCode::kInvalidArgument, "at byte 0"));
}

}  // namespace
}  // namespace fleetune
