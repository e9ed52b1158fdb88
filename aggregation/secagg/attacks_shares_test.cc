// Devices that lie about shares.

#include <algorithm>
#include <functional>

#include "aggregation/secagg/lying_coordinator.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

using testing::ElementsAreArray;

Share OtherThan(const Share& share, RandomSource& random) {
  Share::Limbs limbs = share.limbs();
  limbs[random.Below(limbs.size())] += Field61::Reduce(1 + random.Below(1'000'000));
  return Share(limbs);
}

// A session of 12 in H (threshold 6), of which one device dropped out after it shared.
class BadSharesTest : public testing::Test {
 protected:
  static constexpr uint32_t kCount = 12;
  static constexpr uint32_t kDropped = 11;
  BadSharesTest() : session_(TestConfig(kCount), kCount), coordinator_((session_.Advertise(), session_)) {
    session_.ShareKeys();
    session_.MaskInputs({kDropped});
  }

  // All answer; liars alter each of their shares and sign that.
  void UnmaskWith(const Devices& liars) {
    for (uint32_t device = 0; device < kCount; ++device) {
      const absl::StatusOr<Bytes> request = session_.MessageFor(device);
      if (!request.ok()) continue;
      Bytes answer = session_.clients[device].OnUnmaskRequest(*request).value();
      if (liars.contains(device)) answer = Altered(device, answer);
      EXPECT_THAT(session_.Deliver(device, answer), IsOk());
    }
    session_.Pump(true);
  }
  Bytes Altered(uint32_t device, const Bytes& answer) {
    const Digest view = ViewHash(coordinator_.sid(), coordinator_.ViewWithout({kDropped}));
    UnmaskMessage message = ParseUnmask(answer, coordinator_.sid(), view, kCount).value();
    for (Share& share : message.shares) share = OtherThan(share, session_.random);
    message.signature =
        session_.devices[device]->key.Sign(SignPurpose::kSecAggUnmask, SignedPart(message, coordinator_.sid(), view));
    return EncodeUnmask(message, coordinator_.sid(), view);
  }
  std::vector<std::string> Names(const Devices& devices) const {
    std::vector<std::string> names;
    for (const uint32_t device : devices) names.push_back(session_.devices[device]->name);
    std::sort(names.begin(), names.end());
    return names;
  }

  SessionFixture session_;
  LyingCoordinator coordinator_;
};

TEST_F(BadSharesTest, NoLiarIsNamedWhereNobodyLies) {
  UnmaskWith({});
  EXPECT_EQ(*session_.Open(), session_.ExpectedSum());
  EXPECT_TRUE(session_.liars.empty());
}

// 11 answers, 6 needed: two liars can be told from the others.
TEST_F(BadSharesTest, AsManyLiarsAsCanBeCorrectedAreNamedAndTheSumIsRight) {
  ASSERT_EQ(CorrectableShares(11, coordinator_.threshold()), 2u);
  UnmaskWith({2, 7});
  const absl::StatusOr<RingVector> sum = session_.Open();
  ASSERT_THAT(sum, IsOk());
  EXPECT_EQ(*sum, session_.ExpectedSum());
  EXPECT_THAT(session_.liars, ElementsAreArray(Names({2, 7})));
}

TEST_F(BadSharesTest, OneIsNamedToo) {
  UnmaskWith({0});
  EXPECT_EQ(*session_.Open(), session_.ExpectedSum());
  EXPECT_THAT(session_.liars, ElementsAreArray(Names({0})));
}

TEST_F(BadSharesTest, WithMoreLiarsThanHonestNothingIsOpened) {
  const Devices liars{0, 1, 2, 3, 4, 5};
  UnmaskWith(liars);  // five honest answers, six needed
  EXPECT_THAT(session_.server.RecoverMasks(), HasStatus(absl::StatusCode::kDataLoss, "cannot be rebuilt"));
  EXPECT_NE(session_.sum->Values(), session_.ExpectedSum());
  EXPECT_EQ(session_.server.phase(), ServerPhase::kUnmask);
}

// Between: the sum is right or not opened, and nobody honest is accused.
TEST_F(BadSharesTest, BetweenTheTwoTheSumIsRightOrThereIsNone) {
  const ServerSession before = session_.server;
  const std::vector<SessionEvent> log = session_.log;
  for (uint32_t first = 0; first + 3 < kCount; ++first) {
    session_.server = before;
    session_.log = log;
    const Devices liars{first, first + 1, first + 2};
    UnmaskWith(liars);
    const absl::StatusOr<RecoveredMasks> masks = session_.server.RecoverMasks();
    if (!masks.ok()) {
      EXPECT_THAT(masks, HasStatus(absl::StatusCode::kDataLoss, ""));
      continue;
    }
    RingLanes opened = *session_.sum;
    opened.Apply(masks->terms, OneAfterTheOther);
    EXPECT_EQ(opened.Values(), session_.ExpectedSum());
    for (const std::string& liar : masks->liars) {
      const std::vector<std::string> names = Names(liars);
      EXPECT_NE(std::find(names.begin(), names.end(), liar), names.end()) << liar;
    }
  }
}

// Signatures are looked at when something is wrong: then they tell who sent what no honest program sends.
TEST_F(BadSharesTest, WhoDidNotSignIsKnownWhenSecretsCannotBeRebuilt) {
  const ServerSession before = session_.server;
  UnmaskWith({0, 1, 2, 3, 4, 5});
  ASSERT_FALSE(session_.server.RecoverMasks().ok());
  EXPECT_THAT(session_.server.Unsigned(ReadTestCertificate), ElementsAreArray(Names({})));  // all signed their lies
  session_.server = before;
  for (uint32_t device = 0; device < kCount; ++device) {
    const absl::StatusOr<Bytes> request = session_.MessageFor(device);
    if (!request.ok()) continue;
    Bytes answer = session_.clients[device].OnUnmaskRequest(*request).value();
    if (device < 6) answer = Altered(device, answer);
    if (device == 2 || device == 4) answer.back() ^= 1;
    ASSERT_THAT(session_.Deliver(device, answer), IsOk());
  }
  ASSERT_FALSE(session_.server.RecoverMasks().ok());
  EXPECT_THAT(session_.server.Unsigned(ReadTestCertificate), ElementsAreArray(Names({2, 4})));
  const auto nobody = [](std::span<const uint8_t>) { return absl::UnauthenticatedError("expired"); };
  EXPECT_EQ(session_.server.Unsigned(nobody).size(), kCount);
}

// Whose message it is, the connection says: under another device's it is another device's, whoever signed it.
TEST_F(BadSharesTest, ReleasedSharesCountForTheSeatOfTheConnection) {
  const Bytes answer = session_.clients[0].OnUnmaskRequest(session_.MessageFor(0).value()).value();
  ASSERT_THAT(session_.Deliver(1, answer), IsOk());
  EXPECT_EQ(session_.server.NextFor(session_.devices[0]->name)->kind, NextForDevice::Kind::kMessage);
  EXPECT_EQ(session_.server.NextFor(session_.devices[1]->name)->kind, NextForDevice::Kind::kWait);
  EXPECT_THAT(session_.server.Unsigned(ReadTestCertificate), ElementsAreArray(Names({1})));
  EXPECT_THAT(session_.Deliver(0, answer), IsOk());
  for (uint32_t device = 2; device < kCount; ++device) {
    const absl::StatusOr<Bytes> request = session_.MessageFor(device);
    if (!request.ok()) continue;
    ASSERT_THAT(session_.Deliver(device, session_.clients[device].OnUnmaskRequest(*request).value()), IsOk());
  }
  EXPECT_EQ(*session_.Open(), session_.ExpectedSum());
  EXPECT_THAT(session_.liars, ElementsAreArray(Names({1})));
}

TEST_F(BadSharesTest, SealedSharesThatNobodySignedAreKnownToo) {
  SessionFixture session(TestConfig(4), 4);
  session.Advertise();
  for (uint32_t device = 0; device < 4; ++device) {
    Bytes shares = session.clients[device]
                       .OnRoster(session.MessageFor(device).value(), ReadTestCertificate, session.random)
                       .value();
    if (device == 3) shares.back() ^= 1;
    ASSERT_THAT(session.Deliver(device, shares), IsOk());
  }
  EXPECT_THAT(session.server.Unsigned(ReadTestCertificate), testing::ElementsAre(session.devices[3]->name));
}

// A device that seals rubbish for some neighbours: they can say nothing of its seed, and the others still can.
TEST(BadSealTest, NeighboursThatCannotOpenLeaveTheirShareOut) {
  constexpr uint32_t kCount = 8;  // threshold 4
  for (const uint32_t rubbish : {3u, 4u, 5u}) {
    SessionFixture session(TestConfig(kCount), kCount);
    session.Advertise();
    const LyingCoordinator coordinator(session);
    // Device 0 lies; the others share as they should.
    ShareKeysMessage message =
        ParseShareKeys(
            session.clients[0].OnRoster(session.MessageFor(0).value(), ReadTestCertificate, session.random).value(),
            coordinator.sid(), kCount - 1)
            .value();
    for (uint32_t i = 0; i < rubbish; ++i) message.sealed[i].fill(0x55);
    message.signature =
        session.devices[0]->key.Sign(SignPurpose::kSecAggShareKeys, SignedPart(message, coordinator.sid()));
    ASSERT_THAT(session.Deliver(0, EncodeShareKeys(message, coordinator.sid())), IsOk());
    session.ShareKeys({0});
    session.MaskInputs();
    session.Unmask();
    // 8 holders, itself among them, of whom `rubbish` cannot open.
    if (kCount - rubbish >= coordinator.threshold()) {
      const absl::StatusOr<RingVector> sum = session.Open();
      ASSERT_THAT(sum, IsOk()) << rubbish;
      EXPECT_EQ(*sum, session.ExpectedSum());
    } else {
      EXPECT_EQ(session.server.phase(), ServerPhase::kFailed) << rubbish;
    }
  }
}

// Shares of another secret than h or the public key say: nothing else is ever opened.
TEST(BadSealTest, AHashOfAnotherSeedEndsTheCell) {
  SessionFixture session(TestConfig(5), 5);
  session.Advertise();
  const LyingCoordinator coordinator(session);
  ShareKeysMessage message =
      ParseShareKeys(
          session.clients[0].OnRoster(session.MessageFor(0).value(), ReadTestCertificate, session.random).value(),
          coordinator.sid(), 4)
          .value();
  message.seed_hash.bytes[0] ^= 1;
  message.signature =
      session.devices[0]->key.Sign(SignPurpose::kSecAggShareKeys, SignedPart(message, coordinator.sid()));
  ASSERT_THAT(session.Deliver(0, EncodeShareKeys(message, coordinator.sid())), IsOk());
  session.ShareKeys({0});
  session.MaskInputs();
  session.Unmask();
  EXPECT_THAT(session.server.RecoverMasks(), HasStatus(absl::StatusCode::kDataLoss, session.devices[0]->name));
}

}  // namespace
}  // namespace fleetune::secagg
