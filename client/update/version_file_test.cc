#include "client/update/version_file.h"

#include <vector>

#include "base/crypto/sha256.h"
#include "client/update/update_fixture.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using update_fixture::FakePublisher;
using update_fixture::SmallSizes;
using update_fixture::Stored;

StoredVersion VersionTwo() { return Stored(2, FakePublisher(2).adapter(2)); }

TEST(VersionFileTest, RoundTrips) {
  const StoredVersion stored = VersionTwo();
  const auto parsed = ParseVersion(SerializeVersion(stored));
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(*parsed, stored);
  ASSERT_THAT(RebuildAdapter(*parsed, SmallSizes()), IsOk());
}

// A version whose A is not the seed's.
StoredVersion VersionWithA() {
  const Adapter two = FakePublisher(2).adapter(2);
  std::vector<float> a(two.a().begin(), two.a().end());
  a.back() = 0.125f;
  return Stored(2, *Adapter::Create(two.spec(), a, {two.b().begin(), two.b().end()}));
}

TEST(VersionFileTest, KeepsAnAThatIsNotTheSeeds) {
  EXPECT_TRUE(VersionTwo().a.empty());
  const StoredVersion stored = VersionWithA();
  ASSERT_FALSE(stored.a.empty());
  const Bytes bytes = SerializeVersion(stored);
  EXPECT_EQ(bytes[7], '2');
  const auto parsed = ParseVersion(bytes);
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(*parsed, stored);
  const auto adapter = RebuildAdapter(*parsed, SmallSizes());
  ASSERT_THAT(adapter, IsOk());
  EXPECT_EQ(adapter->a().back(), 0.125f);
  StoredVersion other = stored;
  other.a.back() = 0.25f;
  EXPECT_THAT(RebuildAdapter(other, SmallSizes()), HasStatus(absl::StatusCode::kDataLoss, "expected hash"));
}

TEST(VersionFileTest, CutOffAnywhereIsDataLoss) {
  for (const Bytes& bytes : {SerializeVersion(VersionTwo()), SerializeVersion(VersionWithA())}) {
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_THAT(ParseVersion(std::span(bytes).first(size)), HasStatus(absl::StatusCode::kDataLoss, "")) << size;
    }
  }
}

TEST(VersionFileTest, AnyFlippedBitIsDataLoss) {
  const Bytes bytes = SerializeVersion(VersionTwo());
  for (size_t i = 0; i < bytes.size(); ++i) {
    Bytes flipped = bytes;
    flipped[i] ^= 1;
    EXPECT_THAT(ParseVersion(flipped), HasStatus(absl::StatusCode::kDataLoss, "")) << i;
  }
}

// The fields are checked as well, should somebody write another hash below them.
TEST(VersionFileTest, CutOffAnywhereWithAFreshHashIsDataLossToo) {
  const Bytes bytes = SerializeVersion(VersionWithA());
  for (size_t size = 0; size + 32 < bytes.size(); ++size) {
    Bytes cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    const Digest hash = Sha256(cut);
    cut.insert(cut.end(), hash.bytes.begin(), hash.bytes.end());
    EXPECT_THAT(ParseVersion(cut), HasStatus(absl::StatusCode::kDataLoss, "")) << size;
  }
}

TEST(VersionFileTest, RebuildRefusesAnotherHashAndAnotherBase) {
  StoredVersion stored = VersionTwo();
  stored.b[0] += 1;
  EXPECT_THAT(RebuildAdapter(stored, SmallSizes()), HasStatus(absl::StatusCode::kDataLoss, "expected hash"));
  BaseSizes larger = SmallSizes();
  larger.layers = 3;
  EXPECT_THAT(RebuildAdapter(VersionTwo(), larger), HasStatus(absl::StatusCode::kInvalidArgument, ""));
}

}  // namespace
}  // namespace fleetune
