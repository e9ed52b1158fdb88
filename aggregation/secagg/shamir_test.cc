#include "aggregation/secagg/shamir.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "aggregation/secagg/share_polynomials.h"
#include "base/bytes.h"
#include "base/hex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

using absl::StatusCode;
using testing::ElementsAre;

constexpr uint64_t kPrime = Field61::kPrime;

Secret32 RandomSecret(RandomSource& random) {
  Secret32 secret;
  random.Fill(secret.mutable_bytes());
  return secret;
}

std::string Hex(const Secret32& secret) { return ToHex(secret.bytes()); }

std::vector<uint32_t> FirstSeats(uint32_t count) {
  std::vector<uint32_t> seats(count);
  std::iota(seats.begin(), seats.end(), 0u);
  return seats;
}

// `count` distinct seats in no order.
std::vector<uint32_t> RandomSeats(size_t count, RandomSource& random) {
  std::vector<uint32_t> seats = FirstSeats(kMaxSeats);
  for (size_t i = 0; i < count; ++i) std::swap(seats[i], seats[i + random.Below(seats.size() - i)]);
  seats.resize(count);
  return seats;
}

std::vector<IndexedShare> Split(const Secret32& secret, uint32_t threshold, std::span<const uint32_t> seats,
                                RandomSource& random) {
  const absl::StatusOr<std::vector<Share>> shares = SplitSecret(secret, threshold, seats, random);
  EXPECT_THAT(shares, IsOk());
  std::vector<IndexedShare> indexed;
  for (size_t i = 0; i < seats.size(); ++i) indexed.push_back({seats[i], (*shares)[i]});
  return indexed;
}

Share ShareOf(std::array<uint64_t, kSecretLimbs> values) {
  Share::Limbs limbs;
  for (size_t i = 0; i < kSecretLimbs; ++i) limbs[i] = *Field61::FromU64(values[i]);
  return Share(limbs);
}

std::vector<uint64_t> Values(const Share& share) {
  std::vector<uint64_t> values;
  for (const Field61 limb : share.limbs()) values.push_back(limb.value());
  return values;
}

// Coefficients are 1, 2, 3, ...
class Counting final : public RandomSource {
 public:
  void Fill(std::span<uint8_t> bytes) override {
    ++count_;
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>((count_ << 3) >> (8 * i));
  }

 private:
  uint64_t count_ = 0;
};

// Freezes limbs, coefficients and points: two versions of a device must be able to share a session.
TEST(SplitSecretTest, GivesTheFrozenShares) {
  const Bytes bytes = *FromHex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
  const Secret32 secret(std::span<const uint8_t, 32>(bytes.data(), 32));
  const std::vector<uint32_t> seats = {0, 9};
  Counting random;
  const auto shares = SplitSecret(secret, 2, seats, random);
  ASSERT_THAT(shares, IsOk());
  // Limbs of the number 0x1f1e...0100, plus coefficients 1 .. 5 times x.
  EXPECT_THAT(Values((*shares)[0]), ElementsAre(0x6050403020100u + 1, 0xc0b0a0908070u + 2, 0x31211100f0e0du + 3,
                                                0x1918171615141u + 4, 0x1f1e1d1c1b1au + 5));
  EXPECT_THAT(Values((*shares)[1]), ElementsAre(0x6050403020100u + 10, 0xc0b0a0908070u + 20, 0x31211100f0e0du + 30,
                                                0x1918171615141u + 40, 0x1f1e1d1c1b1au + 50));
}

TEST(SplitSecretTest, AnyThresholdManySharesGiveTheSecret) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SplitMix64 random(seed);
    const auto count = static_cast<uint32_t>(2 + random.Below(60));
    const auto threshold = static_cast<uint32_t>(2 + random.Below(count - 1));
    const Secret32 secret = RandomSecret(random);
    std::vector<IndexedShare> shares = Split(secret, threshold, RandomSeats(count, random), random);
    for (size_t i = 0; i < count; ++i) std::swap(shares[i], shares[i + random.Below(count - i)]);
    const size_t used = threshold + random.Below(count - threshold + 1);
    const auto combined = CombineShares(std::span(shares).first(used), threshold);
    ASSERT_THAT(combined, IsOk()) << seed;
    EXPECT_EQ(Hex(*combined), Hex(secret)) << seed;
  }
}

TEST(SplitSecretTest, EdgesOfTheLimbsComeBack) {
  SplitMix64 random(1);
  const std::vector<uint32_t> seats = {0, kMaxSeats - 1, 17};
  for (const uint8_t fill : {uint8_t{0}, uint8_t{0xff}}) {
    for (size_t bit = 0; bit < 256; ++bit) {
      Secret32 secret;
      std::ranges::fill(secret.mutable_bytes(), fill);
      uint8_t& byte = secret.mutable_bytes()[bit / 8];
      byte = static_cast<uint8_t>(byte ^ 1u << (bit % 8));
      const auto combined = CombineShares(Split(secret, 3, seats, random), 3);
      ASSERT_THAT(combined, IsOk());
      EXPECT_EQ(Hex(*combined), Hex(secret));
    }
  }
}

TEST(SplitSecretTest, ThresholdIsLimitedOnBothSides) {
  SplitMix64 random(2);
  const Secret32 secret = RandomSecret(random);
  const std::vector<uint32_t> seats = FirstSeats(5);
  for (const uint32_t good : {2u, 5u}) EXPECT_THAT(SplitSecret(secret, good, seats, random), IsOk());
  for (const uint32_t bad : {0u, 1u, 6u, UINT32_MAX}) {
    EXPECT_THAT(SplitSecret(secret, bad, seats, random),
                HasStatus(StatusCode::kInvalidArgument, "a threshold of 2 to the number of seats, 5"));
  }
  EXPECT_THAT(SplitSecret(secret, 2, {}, random), HasStatus(StatusCode::kInvalidArgument, "threshold"));
}

TEST(SplitSecretTest, SeatsAreDistinctAndLimited) {
  SplitMix64 random(3);
  const Secret32 secret = RandomSecret(random);
  EXPECT_THAT(SplitSecret(secret, 2, std::vector<uint32_t>{0, 1, 0}, random),
              HasStatus(StatusCode::kInvalidArgument, "seat 0 twice"));
  EXPECT_THAT(SplitSecret(secret, 2, std::vector<uint32_t>{0, kMaxSeats - 1}, random), IsOk());
  EXPECT_THAT(SplitSecret(secret, 2, std::vector<uint32_t>{0, kMaxSeats}, random),
              HasStatus(StatusCode::kInvalidArgument, "below 4096, got 4096"));
}

// One share fewer than the threshold is consistent with every secret: for any other secret there are coefficients that
// give the same shares.
TEST(SplitSecretTest, FewerSharesSayNothing) {
  SplitMix64 random(4);
  const std::vector<uint32_t> seats = FirstSeats(4);
  const std::vector<IndexedShare> shares = Split(RandomSecret(random), 4, seats, random);
  const Secret32 other = RandomSecret(random);
  // The polynomial through three of the shares and the other secret, as a fourth share.
  std::vector<IndexedShare> mixed = Split(other, 4, seats, random);
  const Share::Limbs wanted = SharePolynomials(mixed).AtZero();
  for (size_t i = 0; i < 3; ++i) mixed[i].share = shares[i].share;
  mixed[3].share = Share();
  const Share::Limbs partial = SharePolynomials(mixed).AtZero();
  // What a one as the fourth share adds to the secret.
  const std::vector<IndexedShare> unit = {{0, Share()}, {1, Share()}, {2, Share()}, {3, ShareOf({1, 0, 0, 0, 0})}};
  const Field61 coefficient = SharePolynomials(unit).AtZero()[0];
  Share::Limbs fourth;
  for (size_t i = 0; i < kSecretLimbs; ++i) fourth[i] = (wanted[i] - partial[i]) * coefficient.Inverse();
  mixed[3].share = Share(fourth);
  EXPECT_EQ(Hex(*CombineShares(mixed, 4)), Hex(other));
}

TEST(SplitSecretTest, SharesOfOneSecretDifferEachTime) {
  SplitMix64 random(5);
  const Secret32 secret = RandomSecret(random);
  const std::vector<uint32_t> seats = FirstSeats(2);
  EXPECT_NE(Values(Split(secret, 2, seats, random)[0].share), Values(Split(secret, 2, seats, random)[0].share));
}

TEST(CombineSharesTest, RefusesWhatCannotBeCombined) {
  SplitMix64 random(6);
  const std::vector<IndexedShare> shares = Split(RandomSecret(random), 3, FirstSeats(5), random);
  EXPECT_THAT(CombineShares(std::span(shares).first(2), 3),
              HasStatus(StatusCode::kInvalidArgument, "number of shares, 2, got 3"));
  EXPECT_THAT(CombineShares(shares, 1), HasStatus(StatusCode::kInvalidArgument, "threshold"));
  std::vector<IndexedShare> twice = shares;
  twice[4].seat = 0;
  EXPECT_THAT(CombineShares(twice, 3), HasStatus(StatusCode::kInvalidArgument, "seat 0 twice"));
  twice[4].seat = kMaxSeats;
  EXPECT_THAT(CombineShares(twice, 3), HasStatus(StatusCode::kInvalidArgument, "below 4096"));
}

TEST(CombineSharesTest, OneMoreShareShowsEachWrongLimb) {
  SplitMix64 random(7);
  const std::vector<IndexedShare> shares = Split(RandomSecret(random), 3, FirstSeats(4), random);
  for (size_t wrong = 0; wrong < shares.size(); ++wrong) {
    for (size_t limb = 0; limb < kSecretLimbs; ++limb) {
      std::vector<IndexedShare> changed = shares;
      Share::Limbs limbs = changed[wrong].share.limbs();
      limbs[limb] += Field61::Reduce(1);
      changed[wrong].share = Share(limbs);
      EXPECT_THAT(CombineShares(changed, 3), HasStatus(StatusCode::kDataLoss, "disagree"));
    }
  }
}

TEST(CombineSharesTest, LimbsThatAreTooLongAreDataLoss) {
  // Constant polynomials, so that the value of the shares is that of the limb.
  constexpr uint64_t kOver = uint64_t{1} << 52;
  constexpr uint64_t kLastOver = uint64_t{1} << 48;
  const auto combine = [](std::array<uint64_t, kSecretLimbs> limbs) {
    const std::vector<IndexedShare> shares = {{0, ShareOf(limbs)}, {5, ShareOf(limbs)}, {9, ShareOf(limbs)}};
    return CombineShares(shares, 2);
  };
  EXPECT_EQ(Hex(*combine({kOver - 1, kOver - 1, kOver - 1, kOver - 1, kLastOver - 1})), std::string(64, 'f'));
  for (size_t limb = 0; limb < kSecretLimbs; ++limb) {
    std::array<uint64_t, kSecretLimbs> limbs{};
    limbs[limb] = limb + 1 < kSecretLimbs ? kOver : kLastOver;
    EXPECT_THAT(combine(limbs), HasStatus(StatusCode::kDataLoss, "not those of any secret"));
    limbs[limb] = kPrime - 1;
    EXPECT_THAT(combine(limbs), HasStatus(StatusCode::kDataLoss, "not those of any secret"));
  }
}

TEST(CombineSharesTest, AnyNumberOfSeatsUpToTheLimit) {
  SplitMix64 random(8);
  for (const uint32_t count : {2u, 3u, 5u, 6u, 30u, 200u}) {
    const std::vector<uint32_t> seats = RandomSeats(count, random);
    const Secret32 secret = RandomSecret(random);
    EXPECT_EQ(Hex(*CombineShares(Split(secret, count, seats, random), count)), Hex(secret));
  }
  const std::vector<uint32_t> farthest = {kMaxSeats - 1, 0, kMaxSeats - 2, 1, kMaxSeats / 2, kMaxSeats - 3};
  const Secret32 secret = RandomSecret(random);
  EXPECT_EQ(Hex(*CombineShares(Split(secret, 6, farthest, random), 6)), Hex(secret));
}

TEST(SharePolynomialsTest, EvaluatesAnywhere) {
  SplitMix64 random(9);
  for (const uint32_t threshold : {2u, 7u, 64u, 65u}) {
    const std::vector<uint32_t> seats = RandomSeats(threshold + 13, random);
    const Secret32 secret = RandomSecret(random);
    const std::vector<IndexedShare> shares = Split(secret, threshold, seats, random);
    const SharePolynomials polynomials{std::span(shares).first(threshold)};
    EXPECT_EQ(Hex(*SecretFromLimbs(polynomials.AtZero())), Hex(secret));
    for (const IndexedShare& share : std::span(shares).subspan(threshold)) {
      EXPECT_EQ(polynomials.AtSeat(share.seat), share.share.limbs());
    }
  }
}

// Each seat's share from those of all the others: every difference and both signs.
TEST(SharePolynomialsTest, TheLimitsOfSeatsAreNothingSpecial) {
  SplitMix64 random(10);
  const std::vector<uint32_t> seats = {0, kMaxSeats - 1, 1, kMaxSeats - 2, 2048};
  const std::vector<IndexedShare> shares = Split(RandomSecret(random), 4, seats, random);
  for (size_t left_out = 0; left_out < shares.size(); ++left_out) {
    std::vector<IndexedShare> others = shares;
    others.erase(others.begin() + static_cast<ptrdiff_t>(left_out));
    EXPECT_EQ(SharePolynomials(others).AtSeat(seats[left_out]), shares[left_out].share.limbs());
  }
}

TEST(SharePolynomialsDeathTest, ChecksItsCaller) {
  const std::vector<IndexedShare> shares = {{0, Share()}, {4, Share()}};
  const SharePolynomials polynomials(shares);
  EXPECT_DEATH((void)polynomials.AtSeat(4), "x != y");
  EXPECT_DEATH((void)polynomials.AtSeat(kMaxSeats), "kMaxSeats");
  EXPECT_DEATH(SharePolynomials({}), "empty");
}

TEST(ShareTest, EncodesAsLittleEndianLimbs) {
  const Share share = ShareOf({1, 0x0102030405060708, kPrime - 1, 0, 5});
  const std::array<uint8_t, kShareBytes> bytes = EncodeShare(share);
  EXPECT_EQ(ToHex(bytes),
            "0100000000000000"
            "0807060504030201"
            "feffffffffffff1f"
            "0000000000000000"
            "0500000000000000");
  const auto parsed = ParseShare(bytes);
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->limbs(), share.limbs());
}

TEST(ShareTest, ParsesCanonicalLimbsOnly) {
  for (size_t limb = 0; limb < kSecretLimbs; ++limb) {
    for (const uint64_t bad : {kPrime, kPrime + 1, UINT64_MAX}) {
      std::array<uint8_t, kShareBytes> bytes{};
      std::memcpy(bytes.data() + 8 * limb, &bad, 8);
      EXPECT_THAT(ParseShare(bytes), HasStatus(StatusCode::kInvalidArgument, "below 2^61 - 1"));
    }
  }
}

TEST(ShareTest, ParsesExactlyItsSize) {
  const Bytes bytes(kShareBytes + 1);
  for (size_t size = 0; size <= bytes.size(); ++size) {
    const auto share = ParseShare(std::span(bytes).first(size));
    if (size == kShareBytes) {
      EXPECT_THAT(share, IsOk());
    } else {
      EXPECT_THAT(share, HasStatus(StatusCode::kInvalidArgument, "expected 40 bytes"));
    }
  }
}

TEST(ShareTest, IsWipedWhenMovedFrom) {
  Share share = ShareOf({1, 2, 3, 4, 5});
  Share taken = std::move(share);
  EXPECT_THAT(Values(taken), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(Values(share), ElementsAre(0, 0, 0, 0, 0));  // NOLINT(bugprone-use-after-move)
  share = std::move(taken);
  EXPECT_THAT(Values(share), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(Values(taken), ElementsAre(0, 0, 0, 0, 0));  // NOLINT(bugprone-use-after-move)
}

}  // namespace
}  // namespace fleetune::secagg
