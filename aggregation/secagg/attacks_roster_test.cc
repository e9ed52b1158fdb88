// A coordinator, or a device that helps it, that lies about who takes part, with what keys, and in what.

#include <utility>

#include "aggregation/secagg/lying_coordinator.h"
#include "aggregation/secagg/masks.h"
#include "aggregation/secagg/small_order_points.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

constexpr auto kFailed = absl::StatusCode::kFailedPrecondition;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kUnauthenticated = absl::StatusCode::kUnauthenticated;

// The roster message of device 0, to be tampered with.
class RosterAttackTest : public testing::Test {
 protected:
  RosterAttackTest() : session_(TestConfig(8), 8) {
    session_.Advertise();
    honest_ = ParseRosterMessage(session_.MessageFor(0).value(), config_hash()).value();
    lie_ = honest_;
  }
  ~RosterAttackTest() override {
    // The device was not harmed by what it refused: with the truth it goes on.
    EXPECT_THAT(Say(honest_), IsOk());
  }
  const Digest& config_hash() const { return session_.server.config_hash(); }
  absl::Status Say(const RosterMessage& message) {
    return session_.clients[0]
        .OnRoster(EncodeRosterMessage(message, config_hash()), ReadTestCertificate, random_)
        .status();
  }
  uint32_t OwnSeat() const { return SeatOf(honest_.roster, session_.devices[0]->name).value(); }
  // The seat of the neighbour in the n-th place: everybody is a neighbour.
  uint32_t SeatOfNeighbour(uint32_t place) const { return place < OwnSeat() ? place : place + 1; }
  Advertisement EntryOf(uint32_t place) const {
    return ParseAdvertisement(honest_.neighbours[place], config_hash()).value();
  }
  // With a roster that fits it.
  void Replace(uint32_t place, const Advertisement& entry) {
    lie_.neighbours[place] = EncodeAdvertisement(entry, config_hash());
    lie_.roster[SeatOfNeighbour(place)].entry = EntryHash(lie_.neighbours[place]);
  }
  const SigningKey& KeyOf(const std::string& name) const {
    for (const auto& device : session_.devices) {
      if (device->name == name) return device->key;
    }
    CHECK(false);
    return session_.devices[0]->key;
  }

  SessionFixture session_;
  SplitMix64 random_{17};
  RosterMessage honest_;
  RosterMessage lie_;
};

TEST_F(RosterAttackTest, ADeviceTwice) {
  lie_.roster[3] = lie_.roster[2];
  EXPECT_THAT(Say(lie_), HasStatus(kInvalid, "a device twice"));
  lie_ = honest_;
  lie_.roster.push_back(lie_.roster.back());
  EXPECT_THAT(Say(lie_), HasStatus(kInvalid, "a device twice"));
}

TEST_F(RosterAttackTest, Unsorted) {
  std::swap(lie_.roster[3], lie_.roster[4]);
  EXPECT_THAT(Say(lie_), HasStatus(kInvalid, "unsorted"));
}

TEST_F(RosterAttackTest, OwnEntryReplaced) {
  lie_.roster[OwnSeat()].entry.bytes[0] ^= 1;
  EXPECT_THAT(Say(lie_), HasStatus(kFailed, "own entry"));
}

TEST_F(RosterAttackTest, OwnEntryMissing) {
  lie_.roster.erase(lie_.roster.begin() + OwnSeat());
  lie_.neighbours.pop_back();
  EXPECT_THAT(Say(lie_), HasStatus(kFailed, "own entry"));
}

// An earlier advertisement of the same device for the same config: its old keys, which it does not hold any more.
TEST_F(RosterAttackTest, OwnEntryOfAnEarlierAttempt) {
  const ClientSession earlier =
      ClientSession::Join(session_.devices[0]->identity(false), session_.server.config_bytes(), {}, random_).value();
  lie_.roster[OwnSeat()].entry = EntryHash(earlier.advertisement());
  EXPECT_THAT(Say(lie_), HasStatus(kFailed, "own entry"));
}

TEST_F(RosterAttackTest, NeighboursSwapped) {
  std::swap(lie_.neighbours[1], lie_.neighbours[2]);
  EXPECT_THAT(Say(lie_), HasStatus(kInvalid, "does not hash"));
  // With hashes that fit, the names do not.
  std::swap(lie_.roster[SeatOfNeighbour(1)].entry, lie_.roster[SeatOfNeighbour(2)].entry);
  EXPECT_THAT(Say(lie_), HasStatus(kInvalid, "another device's"));
}

TEST_F(RosterAttackTest, FewerOrMoreNeighboursThanFollow) {
  lie_.neighbours.pop_back();
  EXPECT_THAT(Say(lie_), HasStatus(kInvalid, "expected 7 neighbours, got 6"));
}

TEST_F(RosterAttackTest, AnEntryWithAnotherCertificate) {
  Advertisement entry = EntryOf(1);
  // Of a device that the coordinator made up.
  const TestDevice invented("device-of-the-coordinator");
  entry.certificate = invented.Certificate();
  entry.signature = invented.key.Sign(SignPurpose::kSecAggAdvertise, SignedPart(entry, config_hash()));
  Replace(1, entry);
  EXPECT_THAT(Say(lie_), HasStatus(kUnauthenticated, "another device"));
  // Of nobody.
  entry.certificate = {1};
  Replace(1, entry);
  EXPECT_THAT(Say(lie_), HasStatus(kUnauthenticated, ""));
}

TEST_F(RosterAttackTest, KeysOfTheCoordinatorInAnEntry) {
  const X25519Key own = X25519Key::Generate(random_);
  for (const bool channel : {true, false}) {
    Advertisement entry = EntryOf(2);
    (channel ? entry.channel_key : entry.mask_key) = own.public_key();
    Replace(2, entry);
    EXPECT_THAT(Say(lie_), HasStatus(kUnauthenticated, ""));
  }
}

TEST_F(RosterAttackTest, PointsOfSmallOrderFromTheCoordinatorOrFromANeighbour) {
  for (const PublicKey& point : SmallOrderPoints()) {
    for (const bool channel : {true, false}) {
      Advertisement entry = EntryOf(4);
      (channel ? entry.channel_key : entry.mask_key) = point;
      Replace(4, entry);
      EXPECT_THAT(Say(lie_), HasStatus(kInvalid, "small order"));
      // The neighbour signs it itself.
      entry.signature = KeyOf(entry.device).Sign(SignPurpose::kSecAggAdvertise, SignedPart(entry, config_hash()));
      Replace(4, entry);
      EXPECT_THAT(Say(lie_), HasStatus(kInvalid, "small order"));
    }
  }
}

TEST_F(RosterAttackTest, LessAesThanANeighbourSaid) {
  Advertisement entry = EntryOf(0);
  entry.aes_instructions = !entry.aes_instructions;
  Replace(0, entry);
  EXPECT_THAT(Say(lie_), HasStatus(kUnauthenticated, ""));
}

TEST_F(RosterAttackTest, AnEntryOfAnotherSession) {
  SessionConfig other = TestConfig(8);
  other.nonce.fill(1);
  const Bytes other_config = EncodeSessionConfig(other);
  const std::string name = EntryOf(1).device;
  const TestDevice device(name);
  const ClientSession elsewhere = ClientSession::Join(device.identity(), other_config, {}, random_).value();
  lie_.neighbours[1] = elsewhere.advertisement();
  lie_.roster[SeatOfNeighbour(1)].entry = EntryHash(lie_.neighbours[1]);
  EXPECT_THAT(Say(lie_), HasStatus(kInvalid, "another session"));
  // With this session's name on it, the signature does not hold.
  const Advertisement moved = ParseAdvertisement(elsewhere.advertisement(), ConfigHash(other_config)).value();
  Replace(1, moved);
  EXPECT_THAT(Say(lie_), HasStatus(kUnauthenticated, ""));
}

// What no honest coordinator would let in: one device could otherwise end every cell that it joins.
class SeatAttackTest : public testing::Test {
 protected:
  Advertisement Shown() const { return ParseAdvertisement(device_.advertisement(), config_hash()).value(); }
  const Digest& config_hash() const { return server_.config_hash(); }
  absl::Status Take(Advertisement shown) {
    shown.signature = identity_.key.Sign(SignPurpose::kSecAggAdvertise, SignedPart(shown, config_hash()));
    return server_.Check(identity_.peer(), EncodeAdvertisement(shown, config_hash()), ReadTestCertificate).status();
  }
  SplitMix64 random_{23};
  const TestDevice identity_{"liar"};
  ServerSession server_ = ServerSession::Open(EncodeSessionConfig(TestConfig(3))).value();
  ClientSession device_ =
      ClientSession::Join(identity_.identity(), EncodeSessionConfig(TestConfig(3)), {}, random_).value();
};

TEST_F(SeatAttackTest, PointsOfSmallOrderGetNoSeat) {
  for (const PublicKey& point : SmallOrderPoints()) {
    Advertisement shown = Shown();
    shown.channel_key = point;
    EXPECT_THAT(Take(shown), HasStatus(kInvalid, "small order"));
    shown = Shown();
    shown.mask_key = point;
    EXPECT_THAT(Take(shown), HasStatus(kInvalid, "small order"));
  }
  EXPECT_THAT(Take(Shown()), IsOk());
}

// The connection says who it is; the neighbours will see the entry alone.
TEST_F(SeatAttackTest, ACertificateThatNeighboursWouldRefuseGetsNoSeat) {
  Advertisement shown = Shown();
  shown.certificate = {1, 2, 3};
  EXPECT_THAT(Take(shown), HasStatus(kUnauthenticated, ""));
  shown.certificate = TestDevice("other").Certificate();
  EXPECT_THAT(Take(shown), HasStatus(kUnauthenticated, ""));
  EXPECT_THAT(Take(Shown()), IsOk());
}

TEST_F(SeatAttackTest, AnotherDevicesAdvertisementGetsNoSeat) {
  const TestDevice other("other");
  EXPECT_THAT(server_.Check(other.peer(), device_.advertisement(), ReadTestCertificate),
              HasStatus(kUnauthenticated, "connected"));
  EXPECT_THAT(server_.Check(identity_.peer(), device_.advertisement(), ReadTestCertificate), IsOk());
}

// A graph or threshold below the device's floor.
TEST(FloorAttackTest, ASessionBelowTheFloorIsNotJoined) {
  SplitMix64 random(1);
  const TestDevice device("device");
  SessionConfig config = TestConfig(100);
  config.adversarial = 0;
  EXPECT_THAT(ClientSession::Join(device.identity(), EncodeSessionConfig(config), {.min_adversarial = 0.05}, random),
              HasStatus(kFailed, "adversarial"));
  EXPECT_THAT(
      ClientSession::Join(device.identity(), EncodeSessionConfig(config), {.malicious_profile_only = true}, random),
      HasStatus(kFailed, "malicious"));
  EXPECT_THAT(ClientSession::Join(device.identity(), EncodeSessionConfig(config), {.min_cohort = 4}, random),
              HasStatus(kFailed, "cohort"));
  config.adversarial = 0.05;
  EXPECT_THAT(ClientSession::Join(device.identity(), EncodeSessionConfig(config), {.min_adversarial = 0.05}, random),
              IsOk());
}

TEST(FloorAttackTest, ARosterWithTooLowAThresholdIsRefused) {
  for (const uint32_t floor : {4u, 5u}) {  // of 8 in H: the threshold is 4
    SessionFixture session(TestConfig(8), 8);
    session.Advertise();
    const TestDevice& device = *session.devices[0];
    ClientSession strict =
        ClientSession::Load(device.identity(), {.min_threshold = floor}, session.clients[0].Save()).value();
    const absl::StatusOr<Bytes> shares =
        strict.OnRoster(session.MessageFor(0).value(), ReadTestCertificate, session.random);
    if (floor == 4) {
      EXPECT_THAT(shares, IsOk());
    } else {
      EXPECT_THAT(shares, HasStatus(kFailed, "threshold"));
    }
  }
}

TEST(FloorAttackTest, ARosterSmallerThanPromisedIsRefused) {
  SessionConfig config = TestConfig(8);
  config.min_cohort = 7;
  SessionFixture session(config, 8);
  session.Advertise();
  const Digest& config_hash = session.server.config_hash();
  const RosterMessage honest = ParseRosterMessage(session.MessageFor(0).value(), config_hash).value();
  RosterMessage small = honest;
  const uint32_t own = SeatOf(honest.roster, session.devices[0]->name).value();
  for (const uint32_t seat : {7u, 6u, 5u}) {
    if (seat != own && small.roster.size() > 6) small.roster.erase(small.roster.begin() + seat);
  }
  ASSERT_EQ(small.roster.size(), 6u);
  small.neighbours.resize(5);
  EXPECT_THAT(session.clients[0].OnRoster(EncodeRosterMessage(small, config_hash), ReadTestCertificate, session.random),
              HasStatus(kInvalid, "7 to 8"));
  EXPECT_THAT(
      session.clients[0].OnRoster(EncodeRosterMessage(honest, config_hash), ReadTestCertificate, session.random),
      IsOk());
}

// In a sparse graph the neighbours are those that follow from the session's id, not those that the coordinator likes.
TEST(GraphAttackTest, ChosenNeighboursAreRefused) {
  SessionFixture session(TestConfig(64), 64);
  session.Advertise();
  LyingCoordinator coordinator(session);
  ASSERT_FALSE(coordinator.complete());
  const Digest& config_hash = session.server.config_hash();
  const RosterMessage honest = ParseRosterMessage(session.MessageFor(0).value(), config_hash).value();
  const std::vector<uint32_t> neighbours = coordinator.NeighboursOf(0);
  for (uint32_t device = 1; device < 64; ++device) {
    if (std::find(neighbours.begin(), neighbours.end(), device) != neighbours.end()) continue;
    RosterMessage chosen = honest;
    chosen.neighbours[0] = session.clients[device].advertisement();
    EXPECT_THAT(
        session.clients[0].OnRoster(EncodeRosterMessage(chosen, config_hash), ReadTestCertificate, session.random),
        HasStatus(kInvalid, "does not hash"));
  }
  EXPECT_THAT(
      session.clients[0].OnRoster(EncodeRosterMessage(honest, config_hash), ReadTestCertificate, session.random),
      IsOk());
}

class WrongModelTest : public testing::Test {
 protected:
  static SessionConfig ConfigOf(std::string_view adapter) {
    SessionConfig config = TestConfig(6);
    config.adapter = Sha256(AsBytes(adapter));
    return config;
  }
};

TEST_F(WrongModelTest, DevicesThatWereToldOtherModelsAreNotInOneRoster) {
  SessionFixture session(ConfigOf("version 7"), 6);
  SplitMix64 random(5);
  const Bytes other_config = EncodeSessionConfig(ConfigOf("version 8"));
  ClientSession misled = ClientSession::Join(session.devices[5]->identity(), other_config, {}, random).value();
  EXPECT_THAT(session.Deliver(5, misled.advertisement()), HasStatus(kInvalid, "another session"));
  // Under the others' config its signature is none.
  const Advertisement shown = ParseAdvertisement(misled.advertisement(), ConfigHash(other_config)).value();
  const Bytes renamed = EncodeAdvertisement(shown, session.server.config_hash());
  EXPECT_THAT(session.Deliver(5, renamed), HasStatus(kUnauthenticated, ""));
  // A coordinator that seats it all the same convinces nobody.
  session.Advertise();
  RosterMessage lie = ParseRosterMessage(session.MessageFor(0).value(), session.server.config_hash()).value();
  const uint32_t seat = SeatOf(lie.roster, session.devices[5]->name).value();
  const uint32_t own = SeatOf(lie.roster, session.devices[0]->name).value();
  lie.neighbours[seat < own ? seat : seat - 1] = renamed;
  lie.roster[seat].entry = EntryHash(renamed);
  EXPECT_THAT(session.clients[0].OnRoster(EncodeRosterMessage(lie, session.server.config_hash()), ReadTestCertificate,
                                          session.random),
              HasStatus(kUnauthenticated, ""));
  EXPECT_THAT(session.clients[0].OnRoster(session.MessageFor(0).value(), ReadTestCertificate, session.random), IsOk());
}

// The last line of defence: the same devices with the same keys, but another model, make masks that do not cancel.
TEST_F(WrongModelTest, MasksOfOtherModelsDoNotCancel) {
  SplitMix64 random(6);
  const X25519Key low = X25519Key::Generate(random);
  const X25519Key high = X25519Key::Generate(random);
  const Roster roster{{.device = "a", .entry = {}}, {.device = "b", .entry = {}}, {.device = "c", .entry = {}}};
  const auto sid = [&roster](std::string_view adapter) {
    return SessionId(ConfigHash(EncodeSessionConfig(ConfigOf(adapter))), roster);
  };
  const EdgeEnd a{"a", low.public_key()};
  const EdgeEnd b{"b", high.public_key()};
  const auto sum = [&](std::string_view one, std::string_view other) {
    std::vector<uint32_t> values(16);
    std::vector<MaskTerm> terms(2);
    terms[0] = {.key = EdgeSeed(sid(one), low, a, b).value(), .subtract = Subtracts("a", "b")};
    terms[1] = {.key = EdgeSeed(sid(other), high, b, a).value(), .subtract = Subtracts("b", "a")};
    ApplyMasks(std::span(values), terms, OneAfterTheOther);
    return values;
  };
  EXPECT_EQ(sum("version 7", "version 7"), std::vector<uint32_t>(16));
  EXPECT_NE(sum("version 7", "version 8"), std::vector<uint32_t>(16));
}

}  // namespace
}  // namespace fleetune::secagg
