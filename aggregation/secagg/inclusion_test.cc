#include "aggregation/secagg/inclusion.h"

#include "aggregation/secagg/parser_checks.h"
#include "aggregation/secagg/session_fixture.h"
#include "base/crypto/sha256.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

constexpr uint32_t kNeighbours = 11;

class InclusionTest : public testing::Test {
 protected:
  InclusionTest() {
    for (const uint32_t position : {0u, 4u, 10u}) inclusion_.neighbours.Add(position);
    for (size_t i = 0; i < inclusion_.signature.size(); ++i) inclusion_.signature[i] = static_cast<uint8_t>(i);
  }
  const Digest session_ = Sha256(AsBytes("session"));
  Inclusion inclusion_{.neighbours = Bitmap(kNeighbours)};
};

TEST_F(InclusionTest, RoundTripAndNoOtherLength) {
  ByteWriter writer;
  WriteInclusion(inclusion_, writer);
  const Bytes bytes = writer.Take();
  EXPECT_EQ(bytes.size(), InclusionBytes(kNeighbours));
  const auto parse = [](std::span<const uint8_t> part) { return ParseInclusion(part, kNeighbours); };
  const auto again = parse(bytes);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(*again, inclusion_);
  ExpectNoOtherLength(bytes, parse);
}

TEST_F(InclusionTest, OfADeviceWithOtherNeighbours) {
  ByteWriter writer;
  WriteInclusion(inclusion_, writer);
  EXPECT_THAT(ParseInclusion(writer.bytes(), 10), HasStatus(absl::StatusCode::kInvalidArgument, ""));  // 10 is past it
  EXPECT_FALSE(ParseInclusion(writer.bytes(), 8).ok());
  EXPECT_FALSE(ParseInclusion(writer.bytes(), 17).ok());
}

TEST_F(InclusionTest, TheHashIsOfSessionDeviceAndEveryNeighbour) {
  const Digest hash = InclusionHash(session_, "device", inclusion_.neighbours);
  EXPECT_NE(hash, InclusionHash(Sha256(AsBytes("other")), "device", inclusion_.neighbours));
  EXPECT_NE(hash, InclusionHash(session_, "devices", inclusion_.neighbours));
  for (const uint32_t position : {1u, 2u, 3u, 5u, 9u}) {
    Bitmap other = inclusion_.neighbours;
    other.Add(position);
    EXPECT_NE(hash, InclusionHash(session_, "device", other)) << position;
  }
}

}  // namespace
}  // namespace fleetune::secagg
