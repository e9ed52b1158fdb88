// A coordinator that shows different cells to different parts of the ring, and wants the sum of one part alone.

#include <algorithm>
#include <set>
#include <vector>

#include "aggregation/secagg/lying_coordinator.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

constexpr auto kFailed = absl::StatusCode::kFailedPrecondition;
constexpr auto kUnauthenticated = absl::StatusCode::kUnauthenticated;

// Devices in their order on the ring: neighbours of neighbouring places differ by one on each side.
std::vector<uint32_t> RingOf(const LyingCoordinator& coordinator) {
  std::vector<Devices> near;
  for (uint32_t device = 0; device < coordinator.cohort(); ++device) {
    const std::vector<uint32_t> neighbours = coordinator.NeighboursOf(device);
    near.emplace_back(neighbours.begin(), neighbours.end()).insert(device);
  }
  std::vector<uint32_t> ring{0};
  Devices seen{0};
  while (ring.size() < near.size()) {
    const Devices& here = near[ring.back()];
    const auto next = std::ranges::find_if(here, [&](uint32_t device) {
      const auto common = std::ranges::count_if(here, [&](uint32_t other) { return near[device].contains(other); });
      return !seen.contains(device) && common == coordinator.NeighbourCount();
    });
    CHECK(next != here.end());
    ring.push_back(*next);
    seen.insert(*next);
  }
  return ring;
}

// 96 devices on a ring, each with 30 neighbours and a threshold of 21, and u_min 70. The arc is 40 honest devices. Next
// to each of its ends lie helpers of the coordinator and two devices that it calls dropped; the rest are the others.
// The arc is told that of its neighbours the arc itself, the dropped and the helpers shared; the others are told that
// everybody did. Then each side is shown a view that fits what it was told. So small a session allows for 4 helpers,
// and the attack takes 8; in large ones it takes fewer than they allow for (docs/design/secagg.md, W1).
class ArcAttack {
 public:
  static constexpr uint32_t kDevices = 96;
  static constexpr uint32_t kMinSurvivors = 70;
  static constexpr uint32_t kArc = 40;
  static constexpr uint32_t kDroppedAtEachEnd = 2;
  static constexpr uint32_t kHelpersAtEachEnd = 4;

  // `forged`: devices of the arc sign whatever list suits the coordinator.
  explicit ArcAttack(bool forged) : session_(Config(), kDevices), coordinator_((Begin(), session_)) {
    CHECK(coordinator_.NeighbourCount() == 30 && coordinator_.threshold() == 21);
    session_.ShareKeys();
    PlaceRoles();
    Devices told = arc_;
    told.insert(dropped_.begin(), dropped_.end());
    told.insert(helpers_.begin(), helpers_.end());
    Devices all = told;
    all.insert(others_.begin(), others_.end());
    for (const uint32_t device : arc_) Mask(device, told);
    for (const uint32_t device : others_) Mask(device, all);
    Bitmap everybody(coordinator_.NeighbourCount());
    for (uint32_t i = 0; i < everybody.size(); ++i) everybody.Add(i);
    for (const uint32_t helper : helpers_) {
      coordinator_.SetInclusion(helper, coordinator_.SignedInclusion(helper, everybody));
    }
    if (forged) {
      for (const uint32_t device : arc_) {
        coordinator_.SetInclusion(device, coordinator_.SignedInclusion(device, everybody));
      }
    }
    loot_.emplace(coordinator_, session_);
    for (const uint32_t helper : helpers_) loot_->AddSealedFor(helper, ChannelKeyOf(helper), session_);
    // The arc would refuse a view with neighbours that it was told did not share.
    Devices unseen = dropped_;
    for (const uint32_t device : arc_) {
      for (const uint32_t neighbour : coordinator_.NeighboursOf(device)) {
        if (others_.contains(neighbour)) unseen.insert(neighbour);
      }
    }
    Ask(arc_, coordinator_.ViewWithout(unseen));
    Ask(others_, coordinator_.ViewWithout(dropped_));
  }

  // The sum of the arc alone: all seeds of its devices, and the mask keys of those that it was told dropped out.
  bool Succeeds() const {
    return SeedsOpened() == kArc &&
           std::ranges::all_of(dropped_, [&](uint32_t device) { return loot_->OpensMaskKey(device); });
  }
  int64_t SeedsOpened() const {
    return std::ranges::count_if(arc_, [&](uint32_t device) { return loot_->OpensSeed(device); });
  }
  uint32_t refused_for_inclusion() const { return refused_for_inclusion_; }

 private:
  static SessionConfig Config() {
    SessionConfig config = TestConfig(kDevices, Profile::kMalicious);
    config.dimension = 2;
    config.adversarial = 0.05;
    config.dropout = 0.1;
    config.min_cohort = kMinSurvivors;
    config.min_survivors = kMinSurvivors;
    return config;
  }
  // Randomness of each device that can be had again, so that a helper's key can be known.
  static SplitMix64 RandomOf(uint32_t device) { return SplitMix64(7000 + device); }
  static X25519Key ChannelKeyOf(uint32_t device) {
    SplitMix64 random = RandomOf(device);
    return X25519Key::Generate(random);  // the first that ClientSession::Join draws
  }
  void Begin() {
    for (uint32_t device = 0; device < kDevices; ++device) {
      SplitMix64 random = RandomOf(device);
      session_.clients[device] = ClientSession::Join(session_.devices[device]->identity(),
                                                     session_.server.config_bytes(), session_.policy, random)
                                     .value();
    }
    session_.Advertise();
  }
  void PlaceRoles() {
    const std::vector<uint32_t> ring = RingOf(coordinator_);
    constexpr uint32_t kGap = kDroppedAtEachEnd + kHelpersAtEachEnd;
    for (uint32_t place = 0; place < kDevices; ++place) {
      const uint32_t past = place - kArc;  // the arc's end, if not within it
      const uint32_t before = kDevices - 1 - place;
      const uint32_t from_end = std::min(past, before);
      Devices& role = place < kArc                   ? arc_
                      : from_end < kDroppedAtEachEnd ? dropped_
                      : from_end < kGap              ? helpers_
                                                     : others_;
      role.insert(ring[place]);
    }
  }
  void Mask(uint32_t device, const Devices& told) {
    CHECK(coordinator_.TellShared(device, told).ok());
    CHECK(coordinator_.TakeInput(device).ok());
  }
  void Ask(const Devices& devices, const Bitmap& view) {
    CHECK(view.Count() >= kMinSurvivors);
    std::map<uint32_t, Signature> signatures;
    for (const uint32_t device : devices) {
      const absl::StatusOr<Bytes> answer = session_.clients[device].OnView(coordinator_.ViewMessage(view));
      if (answer.ok()) signatures.emplace(device, ParseViewSignature(*answer, coordinator_.sid()).value());
    }
    for (const uint32_t helper : helpers_) {
      signatures[helper] =
          session_.devices[helper]->key.Sign(SignPurpose::kSecAggView, ViewHash(coordinator_.sid(), view).bytes);
    }
    for (const uint32_t device : devices) {
      const UnmaskRequest request = coordinator_.RequestFor(device, view, signatures);
      const absl::StatusOr<Bytes> answer = session_.clients[device].OnUnmaskRequest(coordinator_.Encode(request));
      if (answer.ok()) loot_->Add(device, view, *answer);
      if (answer.status().message().find("did not mask") != std::string_view::npos) ++refused_for_inclusion_;
    }
  }

  SessionFixture session_;
  LyingCoordinator coordinator_;
  Devices arc_;
  Devices dropped_;
  Devices helpers_;
  Devices others_;
  std::optional<Loot> loot_;
  uint32_t refused_for_inclusion_ = 0;
};

TEST(ArcAttackTest, OthersDoNotHelpToOpenAnArcThatDidNotMaskWithThem) {
  const ArcAttack attack(false);
  EXPECT_FALSE(attack.Succeeds());
  EXPECT_LT(attack.SeedsOpened(), ArcAttack::kArc);
  EXPECT_GT(attack.refused_for_inclusion(), 0u);
}

// What would be without the lists, or if devices signed others than they masked with: 40 inputs opened, u_min 70.
TEST(ArcAttackTest, TheListsAreWhatStopsIt) {
  const ArcAttack attack(true);
  EXPECT_TRUE(attack.Succeeds());
  EXPECT_EQ(attack.refused_for_inclusion(), 0u);
}

// Ten devices in M whose inputs are masked and whose views are signed.
class InclusionAttackTest : public testing::Test {
 protected:
  static constexpr uint32_t kCount = 10;
  InclusionAttackTest()
      : session_(TestConfig(kCount, Profile::kMalicious), kCount), coordinator_((session_.Advertise(), session_)) {
    session_.ShareKeys();
    for (uint32_t device = 0; device < kCount; ++device) {
      CHECK(session_.clients[device].OnShares(session_.MessageFor(device).value()).ok());
      CHECK(coordinator_.TakeInput(device).ok());
    }
    const Bitmap view = coordinator_.ViewWithout({});
    good_ = coordinator_.RequestFor(0, view, coordinator_.CollectSignatures(view));
  }
  absl::Status Ask(const UnmaskRequest& request) {
    return session_.clients[0].OnUnmaskRequest(coordinator_.Encode(request)).status();
  }

  SessionFixture session_;
  LyingCoordinator coordinator_;
  UnmaskRequest good_;
};

TEST_F(InclusionAttackTest, ListsOfOthersOrOfNobodyAreRefused) {
  ASSERT_EQ(good_.inclusions.size(), kCount - 1);
  UnmaskRequest swapped = good_;
  std::swap(swapped.inclusions[0], swapped.inclusions[1]);
  EXPECT_THAT(Ask(swapped), HasStatus(kUnauthenticated, ""));
  for (size_t bit = 0; bit < 512; bit += 7) {
    UnmaskRequest flipped = good_;
    flipped.inclusions.back().signature[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    EXPECT_THAT(Ask(flipped), HasStatus(kUnauthenticated, ""));
  }
  for (size_t list = 0; list < good_.inclusions.size(); ++list) {
    UnmaskRequest fewer = good_;  // a neighbour less than was signed
    fewer.inclusions[list].neighbours = Bitmap(kCount - 1);
    EXPECT_THAT(Ask(fewer), HasStatus(kUnauthenticated, "")) << list;
  }
  UnmaskRequest none = good_;
  none.inclusions.clear();
  EXPECT_THAT(Ask(none), HasStatus(absl::StatusCode::kDataLoss, ""));
  EXPECT_THAT(Ask(good_), IsOk());
}

TEST_F(InclusionAttackTest, WhoeverIsNotNamedReleasesNothing) {
  const std::vector<uint32_t> neighbours = coordinator_.NeighboursOf(0);
  for (uint32_t i = 0; i < neighbours.size(); ++i) {
    const std::vector<uint32_t> theirs = coordinator_.NeighboursOf(neighbours[i]);
    Bitmap without(kCount - 1);
    for (uint32_t j = 0; j < theirs.size(); ++j) {
      if (theirs[j] != 0) without.Add(j);
    }
    UnmaskRequest lie = good_;
    lie.inclusions[i] = coordinator_.SignedInclusion(neighbours[i], without);
    EXPECT_THAT(Ask(lie), HasStatus(kFailed, "did not mask")) << i;
  }
  EXPECT_THAT(Ask(good_), IsOk());
}

TEST_F(InclusionAttackTest, ListsOfAnotherSessionAreRefused) {
  SessionFixture other(TestConfig(kCount, Profile::kMalicious), kCount, 2);
  other.Advertise();
  const LyingCoordinator elsewhere(other);
  UnmaskRequest replayed = good_;
  const uint32_t neighbour = coordinator_.NeighboursOf(0)[0];
  replayed.inclusions[0] = elsewhere.SignedInclusion(neighbour, good_.inclusions[0].neighbours);
  EXPECT_THAT(Ask(replayed), HasStatus(kUnauthenticated, ""));
}

// The coordinator takes no input whose list the neighbours would refuse: one device could end the cell for all.
TEST(InclusionCheckTest, AnInputComesWithTheListThatItsDeviceWasTold) {
  SessionFixture session(TestConfig(6, Profile::kMalicious), 6);
  session.Advertise();
  const LyingCoordinator coordinator(session);
  session.ShareKeys({5});
  CHECK(session.clients[0].OnShares(session.MessageFor(0).value()).ok());
  const Bytes masked = session.clients[0].Mask(session.inputs[0]).value();
  EXPECT_EQ(masked.size(), session.server.input_bytes());
  EXPECT_EQ(masked, session.clients[0].Mask(session.inputs[0]).value());
  const auto check = [&](std::span<const uint8_t> list) {
    return session.server.CheckInput(session.devices[0]->name, list, ReadTestCertificate);
  };
  const Bytes list(masked.begin() + static_cast<std::ptrdiff_t>(session.server.packed_bytes()), masked.end());
  EXPECT_THAT(check({}), HasStatus(absl::StatusCode::kDataLoss, ""));
  EXPECT_THAT(check(std::span(list).first(list.size() - 1)), HasStatus(absl::StatusCode::kDataLoss, ""));
  Bytes flipped = list;
  flipped.back() ^= 1;
  EXPECT_THAT(check(flipped), HasStatus(kUnauthenticated, ""));
  Bitmap all(5);
  for (uint32_t i = 0; i < 5; ++i) all.Add(i);
  ByteWriter with_missing;
  WriteInclusion(coordinator.SignedInclusion(0, all), with_missing);
  EXPECT_THAT(check(with_missing.bytes()), HasStatus(kFailed, "neighbours that shared"));
  ByteWriter with_nobody;
  WriteInclusion(coordinator.SignedInclusion(0, Bitmap(5)), with_nobody);
  EXPECT_THAT(check(with_nobody.bytes()), HasStatus(kFailed, "neighbours that shared"));
  ASSERT_THAT(check(list), IsOk());
  EXPECT_TRUE(check(list)->has_value());
}

TEST(InclusionCheckTest, InHNothingFollowsAnInput) {
  SessionFixture session(TestConfig(4), 4);
  session.Advertise();
  session.ShareKeys();
  CHECK(session.clients[0].OnShares(session.MessageFor(0).value()).ok());
  EXPECT_EQ(session.clients[0].Mask(session.inputs[0])->size(), session.server.packed_bytes());
  EXPECT_EQ(session.server.input_bytes(), session.server.packed_bytes());
  const Bytes more{0};
  EXPECT_THAT(session.server.CheckInput(session.devices[0]->name, more, ReadTestCertificate),
              HasStatus(absl::StatusCode::kInvalidArgument, "behind"));
}

}  // namespace
}  // namespace fleetune::secagg
