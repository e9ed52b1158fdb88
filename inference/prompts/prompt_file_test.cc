#include "inference/prompts/prompt_file.h"

#include "base/crypto/sha256.h"
#include "base/hex.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

class PromptFileTest : public testing::Test {
 protected:
  PromptFileTest() { file_.origin.bytes.fill(0xab); }
  // `bytes` without their hash, under one that fits.
  static Bytes Rehashed(Bytes bytes) {
    bytes.resize(bytes.size() - 32);
    const Digest digest = Sha256(bytes);
    bytes.insert(bytes.end(), digest.bytes.begin(), digest.bytes.end());
    return bytes;
  }

  const Bytes saved_ = {1, 2, 3, 4, 5};
  PromptFile file_ = {.origin = {}, .tokens = {7, 258, -1}, .saved = saved_};
  static constexpr size_t kCountAt = 40, kSizeAt = kCountAt + 4 + 3 * 4;
};

TEST_F(PromptFileTest, ComesBackAsItWas) {
  const Bytes bytes = SerializePromptFile(file_);
  const auto parsed = ParsePromptFile(bytes);
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->origin, file_.origin);
  EXPECT_EQ(parsed->tokens, file_.tokens);
  EXPECT_EQ(Bytes(parsed->saved.begin(), parsed->saved.end()), saved_);
  const Bytes empty = SerializePromptFile({});
  EXPECT_THAT(ParsePromptFile(empty), IsOk());
}

TEST_F(PromptFileTest, HasTheBytesThatTheFormatSays) {
  Bytes bytes = SerializePromptFile(file_);
  bytes.resize(bytes.size() - 32);
  const std::string origin = ToHex(file_.origin.bytes);
  EXPECT_EQ(ToHex(bytes), "46545043" "01000000" + origin + "03000000" "07000000" "02010000" "ffffffff" "0500000000000000" "0102030405");
}

TEST_F(PromptFileTest, EveryTruncationIsSeen) {
  const Bytes bytes = SerializePromptFile(file_);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(ParsePromptFile(Bytes(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size))),
                HasStatus(StatusCode::kDataLoss, ""))
        << size;
  }
}

TEST_F(PromptFileTest, EveryFlippedBitIsSeen) {
  const Bytes bytes = SerializePromptFile(file_);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    Bytes flipped = bytes;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_THAT(ParsePromptFile(flipped), HasStatus(StatusCode::kDataLoss, "")) << bit;
  }
}

TEST_F(PromptFileTest, LengthsAreNotBelievedUnderAHashThatFits) {
  const Bytes bytes = SerializePromptFile(file_);
  Bytes more = bytes;
  more[kCountAt] = 4;  // one token more than there is: what follows is read four bytes too late
  EXPECT_THAT(ParsePromptFile(Rehashed(more)), HasStatus(StatusCode::kDataLoss, ""));
  more[kCountAt + 2] = 0x10;
  EXPECT_THAT(ParsePromptFile(Rehashed(more)), HasStatus(StatusCode::kResourceExhausted, "1048580 tokens"));
  for (const uint8_t size : {uint8_t{4}, uint8_t{6}}) {
    Bytes other = bytes;
    other[kSizeAt] = size;
    EXPECT_THAT(ParsePromptFile(Rehashed(other)), HasStatus(StatusCode::kDataLoss, ""));
  }
  Bytes huge = bytes;
  std::fill_n(huge.begin() + kSizeAt, 8, uint8_t{0xff});
  EXPECT_THAT(ParsePromptFile(Rehashed(huge)), HasStatus(StatusCode::kDataLoss, ""));
}

TEST_F(PromptFileTest, AnotherFormatIsNamed) {
  const Bytes bytes = SerializePromptFile(file_);
  Bytes other = bytes;
  other[3] = 'M';
  EXPECT_THAT(ParsePromptFile(Rehashed(other)), HasStatus(StatusCode::kDataLoss, "does not begin as one"));
  other = bytes;
  other[4] = 2;
  EXPECT_THAT(ParsePromptFile(Rehashed(other)), HasStatus(StatusCode::kDataLoss, "version 2, expected 1"));
}

}  // namespace
}  // namespace fleetune
