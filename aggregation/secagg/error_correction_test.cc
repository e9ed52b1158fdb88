#include "aggregation/secagg/error_correction.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "aggregation/secagg/share_polynomials.h"
#include "base/hex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::IsEmpty;

std::string Hex(const Secret32& secret) { return ToHex(secret.bytes()); }

Secret32 RandomSecret(RandomSource& random) {
  Secret32 secret;
  random.Fill(secret.mutable_bytes());
  return secret;
}

// A secret, its shares in a random order of seats, and the form of it that `accept` takes.
struct Shared {
  Shared(size_t count, uint32_t t, RandomSource& random) : threshold(t) {
    std::vector<uint32_t> seats(count + 40);
    std::iota(seats.begin(), seats.end(), 0u);
    for (size_t i = 0; i < count; ++i) std::swap(seats[i], seats[i + random.Below(seats.size() - i)]);
    seats.resize(count);
    const Secret32 secret = RandomSecret(random);
    hex = Hex(secret);
    const std::vector<Share> split = *SplitSecret(secret, threshold, seats, random);
    for (size_t i = 0; i < count; ++i) shares.push_back({seats[i], split[i]});
  }

  // Adds something to some limbs, at least one, of the share at `index`.
  void Spoil(size_t index, RandomSource& random) {
    Share::Limbs limbs = shares[index].share.limbs();
    limbs[random.Below(kSecretLimbs)] += Field61::Reduce(1);
    for (Field61& limb : limbs) limb += Field61::Reduce(random.Below(2) * random.Below(1000) * 2);
    shares[index].share = Share(limbs);
  }

  // Spoils `count` shares at random; returns their seats, ascending.
  std::vector<uint32_t> SpoilSome(size_t count, RandomSource& random) {
    std::vector<size_t> indices(shares.size());
    std::iota(indices.begin(), indices.end(), size_t{0});
    std::vector<uint32_t> liars;
    for (size_t i = 0; i < count; ++i) {
      std::swap(indices[i], indices[i + random.Below(indices.size() - i)]);
      Spoil(indices[i], random);
      liars.push_back(shares[indices[i]].seat);
    }
    std::ranges::sort(liars);
    return liars;
  }

  absl::StatusOr<CorrectedSecret> Decode() const { return DecodeShares(shares, threshold); }
  absl::StatusOr<CorrectedSecret> Recover() const {
    return RecoverSecret(shares, threshold, [this](const Secret32& secret) { return Hex(secret) == hex; });
  }

  uint32_t threshold;
  std::string hex;
  std::vector<IndexedShare> shares;
};

TEST(ErrorCorrectionTest, CountsWhatCanBeCorrected) {
  EXPECT_EQ(CorrectableShares(9, 10), 0u);
  EXPECT_EQ(CorrectableShares(10, 10), 0u);
  EXPECT_EQ(CorrectableShares(11, 10), 0u);
  EXPECT_EQ(CorrectableShares(12, 10), 1u);
  EXPECT_EQ(CorrectableShares(15, 10), 2u);
}

// Property: with e wrong shares at the limit and below, the secret and the liars; with one more, an error.
TEST(ErrorCorrectionTest, FindsTheSecretAndTheLiarsUpToTheLimit) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SplitMix64 random(seed);
    const auto threshold = static_cast<uint32_t>(2 + random.Below(25));
    const size_t count = threshold + random.Below(20);
    const size_t limit = CorrectableShares(count, threshold);
    for (size_t wrong = 0; wrong <= limit; ++wrong) {
      Shared shared(count, threshold, random);
      const std::vector<uint32_t> liars = shared.SpoilSome(wrong, random);
      for (const auto& corrected : {shared.Decode(), shared.Recover()}) {
        ASSERT_THAT(corrected, IsOk()) << seed << " " << wrong;
        ASSERT_EQ(Hex(corrected->secret), shared.hex) << seed << " " << wrong;
        ASSERT_EQ(corrected->liars, liars) << seed << " " << wrong;
      }
    }
  }
}

TEST(ErrorCorrectionTest, OneWrongShareOverTheLimitIsDataLoss) {
  int recovered = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SplitMix64 random(seed);
    const auto threshold = static_cast<uint32_t>(2 + random.Below(25));
    const size_t count = threshold + 2 + random.Below(18);
    Shared shared(count, threshold, random);
    shared.SpoilSome(CorrectableShares(count, threshold) + 1, random);
    EXPECT_THAT(shared.Decode(), HasStatus(StatusCode::kDataLoss, "wrong")) << seed;
    const auto corrected = shared.Recover();
    if (corrected.ok()) {  // the first shares happened to be right, which `accept` knows
      ++recovered;
      EXPECT_EQ(Hex(corrected->secret), shared.hex);
      EXPECT_THAT(corrected->liars, IsEmpty());
    } else {
      EXPECT_THAT(corrected, HasStatus(StatusCode::kDataLoss, "wrong"));
    }
  }
  EXPECT_LT(recovered, 100);
}

TEST(ErrorCorrectionTest, WithoutSpareSharesNothingIsCorrected) {
  SplitMix64 random(1);
  Shared shared(5, 5, random);
  EXPECT_THAT(shared.Decode()->liars, IsEmpty());
  EXPECT_EQ(Hex(shared.Recover()->secret), shared.hex);
  shared.Spoil(2, random);
  EXPECT_THAT(shared.Recover(), HasStatus(StatusCode::kDataLoss, "at most 0 wrong ones, found more"));
  // One spare share shows that something is wrong, not what.
  Shared spare(6, 5, random);
  spare.Spoil(2, random);
  EXPECT_THAT(spare.Decode(), HasStatus(StatusCode::kDataLoss, "wrong"));
}

TEST(ErrorCorrectionTest, EachLimbIsEnoughToBeALiar) {
  SplitMix64 random(2);
  for (size_t limb = 0; limb < kSecretLimbs; ++limb) {
    Shared shared(9, 5, random);
    Share::Limbs limbs = shared.shares[3].share.limbs();
    limbs[limb] -= Field61::Reduce(1);
    shared.shares[3].share = Share(limbs);
    EXPECT_THAT(shared.Decode()->liars, ElementsAre(shared.shares[3].seat)) << limb;
    EXPECT_THAT(shared.Recover()->liars, ElementsAre(shared.shares[3].seat)) << limb;
  }
}

TEST(ErrorCorrectionTest, LiarsOfDifferentLimbsCountTogether) {
  SplitMix64 random(3);
  for (const size_t liars : {2u, 3u}) {  // 2 is the limit
    Shared shared(9, 5, random);
    for (size_t i = 0; i < liars; ++i) {
      Share::Limbs limbs = shared.shares[i].share.limbs();
      limbs[i] += Field61::Reduce(7);
      shared.shares[i].share = Share(limbs);
    }
    if (liars == 2) {
      EXPECT_EQ(Hex(shared.Decode()->secret), shared.hex);
    } else {
      EXPECT_THAT(shared.Decode(), HasStatus(StatusCode::kDataLoss, "9 shares under a threshold of 5"));
    }
  }
}

// Liars who work together can be wrong so that the secret stays what it is. The honest ones must not take the blame.
TEST(RecoverSecretTest, LiarsWhoCancelEachOtherOutAreNamedAllTheSame) {
  SplitMix64 random(4);
  for (const size_t count : {9u, 8u}) {  // two can be named among 9, one among 8
    Shared shared(count, 5, random);
    const std::vector<uint32_t> seats = SeatsOf(std::span(shared.shares).first(5));
    // What a one in the share of a seat adds to the secret.
    const auto at_zero = [&](size_t share) {
      std::vector<IndexedShare> unit;
      for (const uint32_t seat : seats) unit.push_back({seat, Share()});
      unit[share].share = Share({Field61::Reduce(1)});
      return SharePolynomials(unit).AtZero()[0];
    };
    Share::Limbs first = shared.shares[0].share.limbs();
    Share::Limbs second = shared.shares[1].share.limbs();
    first[0] += at_zero(1);
    second[0] -= at_zero(0);
    shared.shares[0].share = Share(first);
    shared.shares[1].share = Share(second);

    const auto corrected = shared.Recover();
    ASSERT_THAT(corrected, IsOk());
    EXPECT_EQ(Hex(corrected->secret), shared.hex);
    if (count == 9) {
      EXPECT_THAT(corrected->liars, testing::UnorderedElementsAre(seats[0], seats[1]));
    } else {
      EXPECT_THAT(corrected->liars, IsEmpty());
    }
  }
}

TEST(RecoverSecretTest, NeverReturnsWhatIsRefused) {
  SplitMix64 random(5);
  for (int i = 0; i < 50; ++i) {
    // Most shares are those of another secret: decoding alone would give that one.
    Shared shared(10, 4, random);
    const Shared other(10, 4, random);
    const std::vector<Share> of_other = *SplitSecret(RandomSecret(random), 4, SeatsOf(shared.shares), random);
    for (size_t j = 3; j < 10; ++j) shared.shares[j].share = of_other[j];
    EXPECT_THAT(shared.Decode(), IsOk());
    EXPECT_THAT(shared.Recover(), HasStatus(StatusCode::kDataLoss, "expected at most 3 wrong ones"));
  }
  const Shared honest(10, 4, random);
  EXPECT_THAT(RecoverSecret(honest.shares, 4, [](const Secret32&) { return false; }),
              HasStatus(StatusCode::kDataLoss, "wrong"));
}

TEST(RecoverSecretTest, AsksAboutOneSecretWhenNobodyLies) {
  SplitMix64 random(6);
  const Shared shared(10, 4, random);
  int asked = 0;
  const auto corrected = RecoverSecret(shared.shares, 4, [&](const Secret32& secret) {
    ++asked;
    return Hex(secret) == shared.hex;
  });
  EXPECT_THAT(corrected, IsOk());
  EXPECT_EQ(asked, 1);
}

TEST(ErrorCorrectionTest, RefusesWhatIsNotShares) {
  SplitMix64 random(7);
  Shared shared(6, 3, random);
  for (const uint32_t bad : {0u, 1u, 7u}) {
    shared.threshold = bad;
    EXPECT_THAT(shared.Decode(),
                HasStatus(StatusCode::kInvalidArgument, "a threshold of 2 to the number of shares, 6"));
    EXPECT_THAT(shared.Recover(), HasStatus(StatusCode::kInvalidArgument, "threshold"));
  }
  for (const uint32_t good : {2u, 6u}) {
    Shared other(6, good, random);
    EXPECT_THAT(other.Decode(), IsOk());
  }
  shared.threshold = 3;
  shared.shares[5].seat = shared.shares[0].seat;
  EXPECT_THAT(shared.Decode(), HasStatus(StatusCode::kInvalidArgument, "twice"));
  EXPECT_THAT(shared.Recover(), HasStatus(StatusCode::kInvalidArgument, "twice"));
  shared.shares[5].seat = kMaxSeats;
  EXPECT_THAT(shared.Decode(), HasStatus(StatusCode::kInvalidArgument, "below 4096"));
}

// The largest sets of the golden parameters that a session meets in H and M.
TEST(ErrorCorrectionTest, CorrectsSetsOfRealSizes) {
  SplitMix64 random(8);
  for (const auto& [neighbours, threshold] : {std::pair{52u, 30u}, {180u, 134u}, {378u, 254u}}) {
    Shared shared(neighbours, threshold, random);
    const std::vector<uint32_t> liars = shared.SpoilSome(CorrectableShares(neighbours, threshold), random);
    const auto corrected = shared.Recover();
    ASSERT_THAT(corrected, IsOk());
    EXPECT_EQ(Hex(corrected->secret), shared.hex);
    EXPECT_EQ(corrected->liars, liars);
  }
}

}  // namespace
}  // namespace fleetune::secagg
