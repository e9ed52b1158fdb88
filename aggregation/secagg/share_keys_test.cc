#include "aggregation/secagg/share_keys.h"

#include <algorithm>
#include <set>
#include <utility>

#include "aggregation/secagg/parser_checks.h"
#include "aggregation/secagg/session_fixture.h"
#include "aggregation/secagg/small_order_points.h"
#include "base/crypto/sha256.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

Share ShareOf(uint64_t seed) {
  SplitMix64 random(seed);
  Secret32 secret;
  random.Fill(secret.mutable_bytes());
  const std::vector<uint32_t> seats{0, 1};
  return SplitSecret(secret, 2, seats, random).value()[0];
}

bool Same(const Share& one, const Share& other) { return EncodeShare(one) == EncodeShare(other); }

class RouteTest : public testing::Test {
 protected:
  ShareRoute Route() const {
    return {.session = session_,
            .from = "sender",
            .to = "taker",
            .from_key = sender_.public_key(),
            .to_key = taker_.public_key(),
            .from_seat = 3,
            .to_seat = 8};
  }
  absl::Status OpenWith(const ShareRoute& route) const { return OpenShares(sealed_, route, taker_).status(); }

  SplitMix64 random_{5};
  const Digest session_ = Sha256(AsBytes("session"));
  const Digest other_session_ = Sha256(AsBytes("other session"));
  const X25519Key sender_ = X25519Key::Generate(random_);
  const X25519Key taker_ = X25519Key::Generate(random_);
  const X25519Key stranger_ = X25519Key::Generate(random_);
  const SharePair pair_{.seed = ShareOf(1), .mask_key = ShareOf(2)};
  const SealedPair sealed_ = SealShares(pair_, Route(), sender_).value();
};

TEST_F(RouteTest, OpensAtTheOtherEnd) {
  const absl::StatusOr<SharePair> opened = OpenShares(sealed_, Route(), taker_);
  ASSERT_THAT(opened, IsOk());
  EXPECT_TRUE(Same(opened->seed, pair_.seed));
  EXPECT_TRUE(Same(opened->mask_key, pair_.mask_key));
}

TEST_F(RouteTest, OpensOnNoOtherRoute) {
  struct Other {
    const char* what;
    ShareRoute route;
  };
  const auto with = [this](auto change) {
    ShareRoute route = Route();
    change(route);
    return route;
  };
  const Other others[] = {
      {"swapped",
       {.session = session_,
        .from = "taker",
        .to = "sender",
        .from_key = taker_.public_key(),
        .to_key = sender_.public_key(),
        .from_seat = 8,
        .to_seat = 3}},
      {"another session",
       {.session = other_session_,
        .from = "sender",
        .to = "taker",
        .from_key = sender_.public_key(),
        .to_key = taker_.public_key(),
        .from_seat = 3,
        .to_seat = 8}},
      {"names swapped", with([](ShareRoute& r) { std::swap(r.from, r.to); })},
      {"seats swapped", with([](ShareRoute& r) { std::swap(r.from_seat, r.to_seat); })},
      {"another sender", with([](ShareRoute& r) { r.from = "sendes"; })},
      {"another taker", with([](ShareRoute& r) { r.to = "takes"; })},
      {"another place of the sender", with([](ShareRoute& r) { r.from_seat = 4; })},
      {"another place of the taker", with([](ShareRoute& r) { r.to_seat = 9; })},
      {"another key of the sender", with([this](ShareRoute& r) { r.from_key = stranger_.public_key(); })},
      {"another key of the taker", with([this](ShareRoute& r) { r.to_key = stranger_.public_key(); })},
  };
  for (const Other& other : others) {
    EXPECT_THAT(OpenWith(other.route), HasStatus(absl::StatusCode::kDataLoss, "")) << other.what;
  }
}

TEST_F(RouteTest, AStrangerOpensNothing) {
  EXPECT_THAT(OpenShares(sealed_, Route(), stranger_), HasStatus(absl::StatusCode::kDataLoss, ""));
}

TEST_F(RouteTest, EveryBitIsGuarded) {
  for (size_t bit = 0; bit < sealed_.size() * 8; ++bit) {
    SealedPair flipped = sealed_;
    flipped[bit / 8] = static_cast<uint8_t>(flipped[bit / 8] ^ 1u << (bit % 8));
    EXPECT_THAT(OpenShares(flipped, Route(), taker_), HasStatus(absl::StatusCode::kDataLoss, "")) << bit;
  }
}

TEST_F(RouteTest, BothDirectionsHaveTheirOwnKeys) {
  const ShareRoute back{.session = session_,
                        .from = "taker",
                        .to = "sender",
                        .from_key = taker_.public_key(),
                        .to_key = sender_.public_key(),
                        .from_seat = 8,
                        .to_seat = 3};
  const absl::StatusOr<SealedPair> returned = SealShares(pair_, back, taker_);
  ASSERT_THAT(returned, IsOk());
  EXPECT_NE(*returned, sealed_);
  EXPECT_THAT(OpenShares(*returned, back, sender_), IsOk());
  EXPECT_THAT(OpenShares(*returned, Route(), taker_), HasStatus(absl::StatusCode::kDataLoss, ""));
}

TEST_F(RouteTest, NothingIsSealedForPointsOfSmallOrder) {
  for (const PublicKey& point : SmallOrderPoints()) {
    ShareRoute to_it = Route();
    to_it.to_key = point;
    EXPECT_THAT(SealShares(pair_, to_it, sender_), HasStatus(absl::StatusCode::kInvalidArgument, ""));
    ShareRoute from_it = Route();
    from_it.from_key = point;
    EXPECT_THAT(OpenShares(sealed_, from_it, taker_), HasStatus(absl::StatusCode::kInvalidArgument, ""));
  }
}

class ShareKeysTest : public testing::Test {
 protected:
  static SealedPair Filled(uint8_t with) {
    SealedPair pair;
    pair.fill(with);
    return pair;
  }
  const Digest session_ = Sha256(AsBytes("session"));
  const ShareKeysMessage keys_{
      .sealed = {Filled(1), Filled(2), Filled(3)}, .seed_hash = Sha256(AsBytes("seed")), .signature = {}};
};

TEST_F(ShareKeysTest, RoundTrip) {
  const Bytes bytes = EncodeShareKeys(keys_, session_);
  const auto again = ParseShareKeys(bytes, session_, 3);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(*again, keys_);
  for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(SealedIn(bytes, i), keys_.sealed[i]);
  const Bytes part = SignedPart(keys_, session_);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), bytes.begin(), bytes.end() - 64));
}

TEST_F(ShareKeysTest, NoOtherLengthKindOrSession) {
  const Bytes bytes = EncodeShareKeys(keys_, session_);
  const auto parse = [this](std::span<const uint8_t> part) { return ParseShareKeys(part, session_, 3); };
  ExpectNoOtherLength(bytes, parse);
  ExpectHeadIsChecked(bytes, parse);
}

TEST_F(ShareKeysTest, ForAsManyNeighboursAsThereAre) {
  const Bytes bytes = EncodeShareKeys(keys_, session_);
  for (const uint32_t neighbours : {0u, 2u, 4u, 4095u}) {
    EXPECT_THAT(ParseShareKeys(bytes, session_, neighbours), HasStatus(absl::StatusCode::kInvalidArgument, "got 3"));
  }
}

TEST_F(ShareKeysTest, TheSeedsHashIsOfSessionDeviceAndSeed) {
  Secret32 seed;
  seed.mutable_bytes()[0] = 1;
  const std::set<Digest> all{SeedHash(session_, "a", seed), SeedHash(session_, "b", seed),
                             SeedHash(Sha256(AsBytes("other")), "a", seed), SeedHash(session_, "a", Secret32())};
  EXPECT_EQ(all.size(), 4u);
}

TEST_F(ShareKeysTest, SharesRoundTripAndNoOtherLength) {
  SharesMessage message{.shared = Bitmap(9), .sealed = {Filled(4), Filled(5)}};
  message.shared.Add(2);
  message.shared.Add(8);
  const Bytes bytes = EncodeShares(message, session_);
  const auto parse = [this](std::span<const uint8_t> part) { return ParseShares(part, session_, 9); };
  const auto again = parse(bytes);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(*again, message);
  ExpectNoOtherLength(bytes, parse);
  ExpectHeadIsChecked(bytes, parse);
}

TEST_F(ShareKeysTest, AsManySealedPairsAsBits) {
  SharesMessage message{.shared = Bitmap(9), .sealed = {Filled(4), Filled(5)}};
  for (const uint32_t bits : {0u, 1u, 3u}) {
    message.shared = Bitmap(9);
    for (uint32_t i = 0; i < bits; ++i) message.shared.Add(i);
    EXPECT_THAT(ParseShares(EncodeShares(message, session_), session_, 9), HasStatus(absl::StatusCode::kDataLoss, ""))
        << bits;
  }
}

}  // namespace
}  // namespace fleetune::secagg
