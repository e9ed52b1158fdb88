#include "aggregation/secagg/masks.h"

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

#include "aggregation/secagg/session_fixture.h"
#include "aggregation/secagg/small_order_points.h"
#include "base/crypto/sha256.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

Bytes Raw(const Secret32& secret) { return Bytes(secret.bytes().begin(), secret.bytes().end()); }

Secret32 KeyOf(uint64_t seed) {
  SplitMix64 random(seed);
  Secret32 key;
  random.Fill(key.mutable_bytes());
  return key;
}

class EdgeSeedTest : public testing::Test {
 protected:
  Bytes Seed(const Digest& session, const X25519Key& mine, std::string_view here, const X25519Key& other,
             std::string_view there) const {
    const absl::StatusOr<Secret32> seed =
        EdgeSeed(session, mine, EdgeEnd{here, mine.public_key()}, EdgeEnd{there, other.public_key()});
    EXPECT_THAT(seed, IsOk());
    return Raw(*seed);
  }
  SplitMix64 random_{6};
  const Digest session_ = Sha256(AsBytes("session"));
  const X25519Key low_ = X25519Key::Generate(random_);
  const X25519Key high_ = X25519Key::Generate(random_);
};

TEST_F(EdgeSeedTest, BothEndsGetTheSame) {
  EXPECT_EQ(Seed(session_, low_, "a", high_, "b"), Seed(session_, high_, "b", low_, "a"));
}

TEST_F(EdgeSeedTest, OtherSessionsNamesAndKeysGiveOthers) {
  const X25519Key stranger = X25519Key::Generate(random_);
  const std::set<Bytes> all{
      Seed(session_, low_, "a", high_, "b"),  Seed(Sha256(AsBytes("other")), low_, "a", high_, "b"),
      Seed(session_, low_, "b", high_, "a"),  Seed(session_, low_, "a", high_, "c"),
      Seed(session_, low_, "ab", high_, "b"), Seed(session_, low_, "a", stranger, "b"),
  };
  EXPECT_EQ(all.size(), 6u);
}

TEST_F(EdgeSeedTest, PointsOfSmallOrder) {
  for (const PublicKey& point : SmallOrderPoints()) {
    EXPECT_THAT(EdgeSeed(session_, low_, EdgeEnd{"a", low_.public_key()}, EdgeEnd{"b", point}),
                HasStatus(absl::StatusCode::kInvalidArgument, ""));
  }
}

TEST_F(EdgeSeedTest, ManyAtOnceAreThoseOfEach) {
  std::vector<X25519Key> keys;
  std::vector<std::string> names;
  for (int i = 0; i < 19; ++i) {
    keys.push_back(X25519Key::Generate(random_));
    names.push_back(std::string(1, static_cast<char>('a' + i)));  // below and above "k"
  }
  const EdgeEnd here{"k", low_.public_key()};
  for (const size_t count : {0, 1, 8, 19}) {
    std::vector<EdgeEnd> others;
    for (size_t i = 0; i < count; ++i) others.push_back({names[i], keys[i].public_key()});
    const auto seeds = EdgeSeeds(session_, low_, here, others);
    ASSERT_THAT(seeds, IsOk());
    ASSERT_EQ(seeds->size(), count);
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(Raw((*seeds)[i]), Seed(session_, low_, "k", keys[i], names[i])) << i;
  }
  const std::vector<PublicKey> small = SmallOrderPoints();
  EXPECT_THAT(EdgeSeeds(session_, low_, here,
                        std::vector<EdgeEnd>{{"a", high_.public_key()}, {"b", small[0]}, {"c", high_.public_key()}}),
              HasStatus(absl::StatusCode::kInvalidArgument, "small order"));
}

TEST(MaskSignTest, OneEndAddsAndTheOtherTakesAway) {
  EXPECT_FALSE(Subtracts("a", "b"));
  EXPECT_TRUE(Subtracts("b", "a"));
  EXPECT_TRUE(Subtracts("\xff", "a"));  // bytes, not signed characters
}

TEST(MaskCipherTest, AesOnlyWhereBothHaveIt) {
  EXPECT_EQ(CipherFor(true, true), MaskCipher::kAes256Ctr);
  EXPECT_EQ(CipherFor(true, false), MaskCipher::kChaCha20);
  EXPECT_EQ(CipherFor(false, true), MaskCipher::kChaCha20);
  EXPECT_EQ(CipherFor(false, false), MaskCipher::kChaCha20);
}

std::vector<MaskTerm> Terms() {
  std::vector<MaskTerm> terms;
  for (uint64_t i = 0; i < 7; ++i) {
    terms.push_back({.cipher = i % 3 == 0 ? MaskCipher::kChaCha20 : MaskCipher::kAes256Ctr,
                     .key = KeyOf(i),
                     .subtract = i % 2 == 0});
  }
  return terms;
}

// The tasks in descending order, shared among threads.
template <size_t Threads>
void OnThreads(size_t tasks, absl::FunctionRef<void(size_t)> work) {
  std::vector<std::thread> threads;
  for (size_t thread = 0; thread < Threads; ++thread) {
    threads.emplace_back([&work, tasks, thread] {
      for (size_t i = tasks; i-- > 0;) {
        if (i % Threads == thread) work(i);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

template <typename Element>
class ApplyMasksTest : public testing::Test {
 protected:
  static constexpr size_t kTile = kMaskTileBytes / sizeof(Element);
  static std::vector<Element> Values(size_t size) {
    SplitMix64 random(size);
    std::vector<Element> values(size);
    for (Element& value : values) value = static_cast<Element>(random.Next());
    return values;
  }
};
using Elements = testing::Types<uint16_t, uint32_t>;
TYPED_TEST_SUITE(ApplyMasksTest, Elements);

TYPED_TEST(ApplyMasksTest, IsTheSumOfWholeKeystreams) {
  using Fixture = ApplyMasksTest<TypeParam>;
  constexpr size_t kOneTile = Fixture::kTile;
  const std::vector<MaskTerm> terms = Terms();
  for (const size_t size : {size_t{0}, size_t{1}, kOneTile - 1, kOneTile, kOneTile + 1, 3 * kOneTile + 17}) {
    std::vector<TypeParam> expected = Fixture::Values(size);
    std::vector<TypeParam> values = expected;
    for (const MaskTerm& term : terms) {
      const MaskStream stream(term.cipher, term.key, kInputVector);
      if (term.subtract) {
        MaskStream::Subtract({&stream, 1}, std::span(expected), 0);
      } else {
        MaskStream::Add({&stream, 1}, std::span(expected), 0);
      }
    }
    ApplyMasks(std::span(values), terms, OneAfterTheOther);
    EXPECT_EQ(values, expected) << size;
  }
}

TYPED_TEST(ApplyMasksTest, AnyNumberOfThreadsGivesTheSame) {
  using Fixture = ApplyMasksTest<TypeParam>;
  const std::vector<MaskTerm> terms = Terms();
  const std::vector<TypeParam> values = Fixture::Values(5 * Fixture::kTile + 3);
  std::vector<TypeParam> one = values;
  std::vector<TypeParam> two = values;
  std::vector<TypeParam> seven = values;
  ApplyMasks(std::span(one), terms, OneAfterTheOther);
  ApplyMasks(std::span(two), terms, OnThreads<2>);
  ApplyMasks(std::span(seven), terms, OnThreads<7>);
  EXPECT_NE(one, values);
  EXPECT_EQ(one, two);
  EXPECT_EQ(one, seven);
}

TYPED_TEST(ApplyMasksTest, TheTwoEndsCancel) {
  using Fixture = ApplyMasksTest<TypeParam>;
  const std::vector<TypeParam> values = Fixture::Values(1000);
  std::vector<TypeParam> masked = values;
  std::vector<MaskTerm> terms = Terms();
  ApplyMasks(std::span(masked), terms, OneAfterTheOther);
  for (MaskTerm& term : terms) term.subtract = !term.subtract;
  ApplyMasks(std::span(masked), terms, OneAfterTheOther);
  EXPECT_EQ(masked, values);
}

TYPED_TEST(ApplyMasksTest, NoMaskChangesNothing) {
  const std::vector<TypeParam> values = ApplyMasksTest<TypeParam>::Values(10);
  std::vector<TypeParam> same = values;
  ApplyMasks(std::span(same), {}, [](size_t, absl::FunctionRef<void(size_t)>) { FAIL() << "there is nothing to do"; });
  EXPECT_EQ(same, values);
}

TYPED_TEST(ApplyMasksTest, TheCiphersDiffer) {
  std::vector<TypeParam> aes(100);
  std::vector<TypeParam> chacha(100);
  std::vector<MaskTerm> term(1);
  term[0] = {.cipher = MaskCipher::kAes256Ctr, .key = KeyOf(1)};
  ApplyMasks(std::span(aes), term, OneAfterTheOther);
  term[0] = {.cipher = MaskCipher::kChaCha20, .key = KeyOf(1)};
  ApplyMasks(std::span(chacha), term, OneAfterTheOther);
  EXPECT_NE(aes, chacha);
}

}  // namespace
}  // namespace fleetune::secagg
