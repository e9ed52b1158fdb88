#include "aggregation/secagg/unmask.h"

#include <algorithm>

#include "aggregation/secagg/parser_checks.h"
#include "aggregation/secagg/session_fixture.h"
#include "base/crypto/sha256.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

constexpr uint32_t kCohort = 11;
constexpr uint32_t kNeighbours = 6;

Bitmap Of(uint32_t size, std::initializer_list<uint32_t> positions) {
  Bitmap bitmap(size);
  for (const uint32_t position : positions) bitmap.Add(position);
  return bitmap;
}

class UnmaskRequestTest : public testing::Test {
 protected:
  absl::StatusOr<UnmaskRequest> Parse(std::span<const uint8_t> message) const {
    return ParseUnmaskRequest(message, session_, kCohort, kNeighbours);
  }
  const Digest session_ = Sha256(AsBytes("session"));
  UnmaskRequest request_{
      .survivors = Of(kCohort, {0, 1, 2, 3, 10}),
      .alive = Of(kNeighbours, {0, 2, 3}),
      .dropped = Of(kNeighbours, {1, 5}),
      .vouching = Of(kNeighbours, {2, 3}),
      .signatures = {Signature{1}, Signature{2}},
      .inclusions = std::vector<Inclusion>(3, {.neighbours = Of(kNeighbours, {1, 4}), .signature = Signature{3}})};
};

TEST_F(UnmaskRequestTest, RoundTripAndNoOtherLength) {
  const Bytes bytes = EncodeUnmaskRequest(request_, session_);
  const auto again = Parse(bytes);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(*again, request_);
  const auto parse = [this](std::span<const uint8_t> part) { return Parse(part); };
  ExpectNoOtherLength(bytes, parse);
  ExpectHeadIsChecked(bytes, parse);
}

TEST_F(UnmaskRequestTest, WhereNobodyVouchesNoListsFollow) {
  request_.vouching = Bitmap(kNeighbours);
  request_.signatures.clear();
  EXPECT_FALSE(Parse(EncodeUnmaskRequest(request_, session_)).ok());
  request_.inclusions.clear();
  const Bytes bytes = EncodeUnmaskRequest(request_, session_);
  EXPECT_EQ(bytes.size(), 33u + 2 + 3 * 1);  // V, alive, dropped, vouching
  EXPECT_EQ(*Parse(bytes), request_);
}

TEST_F(UnmaskRequestTest, AListForEachAliveNeighbour) {
  request_.inclusions.pop_back();
  EXPECT_FALSE(Parse(EncodeUnmaskRequest(request_, session_)).ok());
  request_.inclusions.resize(4, request_.inclusions.front());
  EXPECT_FALSE(Parse(EncodeUnmaskRequest(request_, session_)).ok());
}

TEST_F(UnmaskRequestTest, NobodyIsBothAliveAndDropped) {
  for (uint32_t i = 0; i < kNeighbours; ++i) {
    UnmaskRequest overlapping = request_;
    overlapping.alive.Add(i);
    overlapping.dropped.Add(i);
    EXPECT_THAT(Parse(EncodeUnmaskRequest(overlapping, session_)),
                HasStatus(absl::StatusCode::kInvalidArgument, "both alive and dropped"));
  }
}

TEST_F(UnmaskRequestTest, AsManySignaturesAsVouch) {
  UnmaskRequest other = request_;
  other.signatures.pop_back();
  EXPECT_FALSE(Parse(EncodeUnmaskRequest(other, session_)).ok());
  other.signatures.assign(3, Signature{});
  EXPECT_FALSE(Parse(EncodeUnmaskRequest(other, session_)).ok());
}

class UnmaskMessageTest : public testing::Test {
 protected:
  UnmaskMessageTest() {
    SplitMix64 random(4);
    Secret32 secret;
    random.Fill(secret.mutable_bytes());
    const std::vector<uint32_t> seats{0, 1, 2};
    const std::vector<Share> shares = SplitSecret(secret, 2, seats, random).value();
    message_ = {.given = Of(5, {0, 1, 4}), .shares = shares, .signature = Signature{9}};
  }
  absl::StatusOr<UnmaskMessage> Parse(std::span<const uint8_t> bytes, uint32_t asked = 5) const {
    return ParseUnmask(bytes, session_, view_, asked);
  }
  const Digest session_ = Sha256(AsBytes("session"));
  const Digest view_ = Sha256(AsBytes("view"));
  UnmaskMessage message_;
};

TEST_F(UnmaskMessageTest, RoundTripAndNoOtherLength) {
  const Bytes bytes = EncodeUnmask(message_, session_, view_);
  const auto again = Parse(bytes);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->given, message_.given);
  EXPECT_EQ(again->signature, message_.signature);
  EXPECT_EQ(EncodeUnmask(*again, session_, view_), bytes);
  const Bytes part = SignedPart(message_, session_, view_);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), bytes.begin(), bytes.end() - 64));
  const auto parse = [this](std::span<const uint8_t> cut) { return Parse(cut); };
  ExpectNoOtherLength(bytes, parse);
  ExpectHeadIsChecked(bytes, parse);
}

TEST_F(UnmaskMessageTest, OfAnotherView) {
  const Bytes bytes = EncodeUnmask(message_, session_, Sha256(AsBytes("other view")));
  EXPECT_THAT(Parse(bytes), HasStatus(absl::StatusCode::kInvalidArgument, "another view"));
}

TEST_F(UnmaskMessageTest, OfAsManyAsWereAsked) {
  const Bytes bytes = EncodeUnmask(message_, session_, view_);
  EXPECT_FALSE(Parse(bytes, 4).ok());
  EXPECT_FALSE(Parse(bytes, 9).ok());
}

TEST_F(UnmaskMessageTest, ALimbThatIsNoFieldElement) {
  Bytes bytes = EncodeUnmask(message_, session_, view_);
  const size_t first_limb = 33 + 32 + 1;
  std::fill_n(bytes.begin() + first_limb, 8, uint8_t{0xff});
  EXPECT_THAT(Parse(bytes), HasStatus(absl::StatusCode::kInvalidArgument, ""));
  // 2^61 - 1 is another way to write 0.
  bytes[first_limb + 7] = 0x1f;
  EXPECT_THAT(Parse(bytes), HasStatus(absl::StatusCode::kInvalidArgument, ""));
}

}  // namespace
}  // namespace fleetune::secagg
