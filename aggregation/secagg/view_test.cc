#include "aggregation/secagg/view.h"

#include "aggregation/secagg/parser_checks.h"
#include "aggregation/secagg/session_fixture.h"
#include "base/crypto/sha256.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

class ViewTest : public testing::Test {
 protected:
  ViewTest() {
    for (const uint32_t seat : {0u, 4u, 10u}) survivors_.Add(seat);
    for (size_t i = 0; i < signature_.size(); ++i) signature_[i] = static_cast<uint8_t>(i);
  }
  const Digest session_ = Sha256(AsBytes("session"));
  Bitmap survivors_{11};
  Signature signature_{};
};

TEST_F(ViewTest, RoundTripAndNoOtherLength) {
  const Bytes bytes = EncodeView(survivors_, session_);
  const auto parse = [this](std::span<const uint8_t> part) { return ParseView(part, session_, 11); };
  const auto again = parse(bytes);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(*again, survivors_);
  ExpectNoOtherLength(bytes, parse);
  ExpectHeadIsChecked(bytes, parse);
}

TEST_F(ViewTest, OfAnotherCohort) {
  const Bytes bytes = EncodeView(survivors_, session_);
  EXPECT_FALSE(ParseView(bytes, session_, 10).ok());  // seat 10 is past its end
  EXPECT_FALSE(ParseView(bytes, session_, 17).ok());
  EXPECT_FALSE(ParseView(bytes, session_, 8).ok());
}

TEST_F(ViewTest, TheHashIsOfSessionAndEverySeat) {
  const Digest hash = ViewHash(session_, survivors_);
  EXPECT_NE(hash, ViewHash(Sha256(AsBytes("other")), survivors_));
  for (const uint32_t seat : {1u, 2u, 3u, 5u, 9u}) {
    Bitmap other = survivors_;
    other.Add(seat);
    EXPECT_NE(hash, ViewHash(session_, other)) << seat;
  }
}

TEST_F(ViewTest, SignatureRoundTripAndNoOtherLength) {
  const Bytes bytes = EncodeViewSignature(signature_, session_);
  const auto parse = [this](std::span<const uint8_t> part) { return ParseViewSignature(part, session_); };
  const auto again = parse(bytes);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(*again, signature_);
  ExpectNoOtherLength(bytes, parse);
  ExpectHeadIsChecked(bytes, parse);
}

}  // namespace
}  // namespace fleetune::secagg
