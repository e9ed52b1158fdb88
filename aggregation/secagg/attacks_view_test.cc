// A coordinator that lies about who survived.

#include "aggregation/secagg/lying_coordinator.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

constexpr auto kFailed = absl::StatusCode::kFailedPrecondition;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// A session in which every input is masked; what is said next is up to the test.
struct Masked {
  Masked(const Masked&) = delete;
  Masked(const SessionConfig& config, uint32_t count)
      : session(config, count), coordinator((session.Advertise(), session)) {
    session.ShareKeys();
    for (uint32_t i = 0; i < count; ++i) {
      CHECK(session.clients[i].OnShares(session.MessageFor(i).value()).ok());
      CHECK(coordinator.TakeInput(i).ok());
    }
  }
  ClientSession Copy(uint32_t device) const {
    return ClientSession::Load(session.devices[device]->identity(), session.policy, session.clients[device].Save())
        .value();
  }

  SessionFixture session;
  LyingCoordinator coordinator;
};

Masked MaskedM(uint32_t count) { return Masked(TestConfig(count, Profile::kMalicious), count); }
Masked MaskedH(uint32_t count) { return Masked(TestConfig(count), count); }

// Some devices are told that the victim (device 0) survived, the others that it dropped out: shares of its seed from
// the ones, of its mask key from the others. Liars (the last devices) answer both stories.
class TwoStories {
 public:
  explicit TwoStories(const Masked& masked, uint32_t liars, uint32_t told_alive)
      : masked_(masked), loot_(masked.coordinator, masked.session) {
    const auto count = static_cast<uint32_t>(masked.session.clients.size());
    const uint32_t honest = count - liars;
    for (uint32_t device = 0; device < honest; ++device) (device < told_alive ? alive_ : dead_).insert(device);
    for (uint32_t device = honest; device < count; ++device) {
      alive_.insert(device);
      dead_.insert(device);
    }
    Tell(alive_, masked.coordinator.ViewWithout({}));
    Tell(dead_, masked.coordinator.ViewWithout({0}));
  }
  bool OpensSeed() const { return loot_.OpensSeed(0); }
  bool OpensMaskKey() const { return loot_.OpensMaskKey(0); }

 private:
  void Tell(const Devices& devices, const Bitmap& view) {
    const LyingCoordinator& coordinator = masked_.coordinator;
    std::map<uint32_t, ClientSession> clients;
    std::map<uint32_t, Signature> signatures;
    for (const uint32_t device : devices) {
      ClientSession& client = clients.emplace(device, masked_.Copy(device)).first->second;
      const absl::StatusOr<Bytes> answer = client.OnView(coordinator.ViewMessage(view));
      if (answer.ok()) signatures.emplace(device, ParseViewSignature(*answer, coordinator.sid()).value());
    }
    for (auto& [device, client] : clients) {
      const absl::StatusOr<Bytes> answer =
          client.OnUnmaskRequest(coordinator.Encode(coordinator.RequestFor(device, view, signatures)));
      if (answer.ok()) loot_.Add(device, view, *answer);
    }
  }

  const Masked& masked_;
  Loot loot_;
  Devices alive_;
  Devices dead_;
};

TEST(TwoViewsTest, OpenNoDeviceWhoeverIsToldWhat) {
  constexpr uint32_t kCount = 20;
  const Masked masked = MaskedM(kCount);
  ASSERT_EQ(masked.coordinator.threshold(), 12u);  // 2 of 20 may side with the coordinator
  bool seed_opened = false;
  bool key_opened = false;
  for (uint32_t told_alive = 1; told_alive <= kCount - 2; ++told_alive) {
    const TwoStories stories(masked, 2, told_alive);
    EXPECT_FALSE(stories.OpensSeed() && stories.OpensMaskKey()) << told_alive;
    seed_opened |= stories.OpensSeed();
    key_opened |= stories.OpensMaskKey();
  }
  // Either story may be told alone, which is what the protocol is for.
  EXPECT_TRUE(seed_opened);
  EXPECT_TRUE(key_opened);
}

// The bound is one: with twice the liars that the session allows for, a coordinator succeeds.
TEST(TwoViewsTest, OpenTheVictimOnceTooManyLie) {
  const Masked masked = MaskedM(20);
  const TwoStories stories(masked, 4, 8);
  EXPECT_TRUE(stories.OpensSeed());
  EXPECT_TRUE(stories.OpensMaskKey());
}

TEST(TwoViewsTest, TwoHalvesReleaseNothingAtAll) {
  Masked masked = MaskedM(10);
  Loot loot(masked.coordinator, masked.session);
  for (const uint32_t half : {0u, 1u}) {
    const Bitmap view = masked.coordinator.ViewWithout({half == 0 ? 9u : 0u});
    Devices others;
    for (uint32_t device = 0; device < 10; ++device) {
      if (device % 2 != half) others.insert(device);
    }
    const std::map<uint32_t, Signature> signatures = masked.coordinator.CollectSignatures(view, others);
    EXPECT_GE(signatures.size(), 4u);
    for (const auto& [device, signature] : signatures) {
      const auto request = masked.coordinator.RequestFor(device, view, signatures);
      EXPECT_THAT(masked.session.clients[device].OnUnmaskRequest(masked.coordinator.Encode(request)),
                  HasStatus(kFailed, "vouch"));
    }
  }
  EXPECT_EQ(loot.released(), 0u);
}

// A sparse graph, where neighbours alone vouch.
TEST(TwoViewsTest, InASparseGraphNeighboursMustHaveSignedTheSame) {
  SessionConfig config = TestConfig(72, Profile::kMalicious);
  config.adversarial = 0.02;
  config.dropout = 0.02;
  Masked masked(config, 72);
  ASSERT_FALSE(masked.coordinator.complete());
  const std::vector<uint32_t> neighbours = masked.coordinator.NeighboursOf(0);
  const uint32_t threshold = masked.coordinator.threshold();
  const Bitmap view = masked.coordinator.ViewWithout({});
  std::map<uint32_t, Signature> signatures = masked.coordinator.CollectSignatures(view);
  ASSERT_EQ(signatures.size(), 72u);
  std::map<uint32_t, Signature> few;
  for (uint32_t i = 0; i + 1 < threshold; ++i) few.emplace(neighbours[i], signatures.at(neighbours[i]));
  const auto ask = [&](const std::map<uint32_t, Signature>& vouching) {
    return masked.session.clients[0].OnUnmaskRequest(
        masked.coordinator.Encode(masked.coordinator.RequestFor(0, view, vouching)));
  };
  EXPECT_THAT(ask(few), HasStatus(kFailed, "vouch"));
  few.emplace(neighbours[threshold - 1], signatures.at(neighbours[threshold - 1]));
  EXPECT_THAT(ask(few), IsOk());
}

TEST(ViewSignatureTest, OnlyGoodOnesOfNeighboursCount) {
  Masked masked = MaskedM(10);
  LyingCoordinator& coordinator = masked.coordinator;
  const Bitmap view = coordinator.ViewWithout({});
  const std::map<uint32_t, Signature> signatures = coordinator.CollectSignatures(view);
  const UnmaskRequest good = coordinator.RequestFor(0, view, signatures);
  ClientSession& victim = masked.session.clients[0];

  UnmaskRequest swapped = good;
  std::swap(swapped.signatures[0], swapped.signatures[1]);
  EXPECT_THAT(victim.OnUnmaskRequest(coordinator.Encode(swapped)), HasStatus(absl::StatusCode::kUnauthenticated, ""));
  UnmaskRequest repeated = good;
  for (Signature& signature : repeated.signatures) signature = good.signatures[0];
  EXPECT_THAT(victim.OnUnmaskRequest(coordinator.Encode(repeated)), HasStatus(absl::StatusCode::kUnauthenticated, ""));
  UnmaskRequest none = good;
  none.vouching = Bitmap(none.vouching.size());
  none.signatures.clear();
  none.inclusions.clear();
  EXPECT_THAT(victim.OnUnmaskRequest(coordinator.Encode(none)), HasStatus(kFailed, "vouch"));
  for (size_t bit = 0; bit < 512; bit += 7) {
    UnmaskRequest flipped = good;
    flipped.signatures.back()[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    EXPECT_THAT(victim.OnUnmaskRequest(coordinator.Encode(flipped)), HasStatus(absl::StatusCode::kUnauthenticated, ""));
  }
  EXPECT_EQ(victim.phase(), ClientPhase::kViewSigned);
  EXPECT_THAT(victim.OnUnmaskRequest(coordinator.Encode(good)), IsOk());
}

TEST(ViewSignatureTest, TheDeadDoNotVouch) {
  Masked masked = MaskedM(10);
  LyingCoordinator& coordinator = masked.coordinator;
  const Bitmap view = coordinator.ViewWithout({9});
  const std::map<uint32_t, Signature> signatures = coordinator.CollectSignatures(view);
  const UnmaskRequest good = coordinator.RequestFor(0, view, signatures);
  UnmaskRequest with_dead = good;
  const std::vector<uint32_t> neighbours = coordinator.NeighboursOf(0);
  const auto place = std::find(neighbours.begin(), neighbours.end(), 9u) - neighbours.begin();
  with_dead.vouching.Add(static_cast<uint32_t>(place));
  with_dead.signatures.insert(
      with_dead.signatures.begin() + place,
      masked.session.devices[9]->key.Sign(SignPurpose::kSecAggView, ViewHash(coordinator.sid(), view).bytes));
  EXPECT_THAT(masked.session.clients[0].OnUnmaskRequest(coordinator.Encode(with_dead)),
              HasStatus(kInvalid, "not alive"));
  EXPECT_THAT(masked.session.clients[0].OnUnmaskRequest(coordinator.Encode(good)), IsOk());
}

TEST(ViewSignatureTest, AnotherViewThanTheSignedOne) {
  Masked masked = MaskedM(10);
  LyingCoordinator& coordinator = masked.coordinator;
  const Bitmap first = coordinator.ViewWithout({9});
  const Bitmap second = coordinator.ViewWithout({8});
  const std::map<uint32_t, Signature> signatures = coordinator.CollectSignatures(first);
  EXPECT_TRUE(coordinator.CollectSignatures(second).size() == 1);  // of device 9, whom nobody had asked
  EXPECT_THAT(masked.session.clients[0].OnView(coordinator.ViewMessage(second)), HasStatus(kFailed, "another message"));
  // Even if all others had signed it.
  std::map<uint32_t, Signature> forged;
  for (uint32_t device = 0; device < 10; ++device) {
    forged[device] =
        masked.session.devices[device]->key.Sign(SignPurpose::kSecAggView, ViewHash(coordinator.sid(), second).bytes);
  }
  EXPECT_THAT(masked.session.clients[0].OnUnmaskRequest(coordinator.Encode(coordinator.RequestFor(0, second, forged))),
              HasStatus(kFailed, "another view"));
  EXPECT_THAT(
      masked.session.clients[0].OnUnmaskRequest(coordinator.Encode(coordinator.RequestFor(0, first, signatures))),
      IsOk());
}

// The victim is told that only few shared, which leaves it with masks of few honest devices; then these are called
// dead, so that their mask keys and the victim's seed are all that is on its input. It does not sign that itself: can
// the others be made to?
class FewShared {
 public:
  // `forged`: the victim signs that it masked its input with everybody.
  explicit FewShared(uint32_t liars, bool forged = false)
      : session_(TestConfig(21, Profile::kMalicious), 21), coordinator_(Begin()) {
    session_.ShareKeys();
    partners_ = coordinator_.threshold() - 1 - liars;  // with the liars and itself just enough
    Devices told;
    for (uint32_t device = 1; device <= partners_; ++device) told.insert(device);
    const Devices dead = told;
    for (uint32_t device = 21 - liars; device < 21; ++device) told.insert(device);
    CHECK(coordinator_.TellShared(0, told).ok());
    CHECK(coordinator_.TakeInput(0).ok());
    for (uint32_t device = 1; device < 21; ++device) {
      CHECK(session_.clients[device].OnShares(session_.MessageFor(device).value()).ok());
      CHECK(coordinator_.TakeInput(device).ok());
    }
    if (forged) {
      Bitmap everybody(20);
      for (uint32_t i = 0; i < 20; ++i) everybody.Add(i);
      coordinator_.SetInclusion(0, coordinator_.SignedInclusion(0, everybody));
    }
    const Bitmap view = coordinator_.ViewWithout(dead);
    const std::map<uint32_t, Signature> signatures = coordinator_.CollectSignatures(view);
    victim_signed_ = signatures.contains(0);
    loot_.emplace(coordinator_, session_);
    for (const auto& [device, signature] : signatures) {
      const absl::StatusOr<Bytes> answer = session_.clients[device].OnUnmaskRequest(
          coordinator_.Encode(coordinator_.RequestFor(device, view, signatures)));
      if (answer.ok()) loot_->Add(device, view, *answer);
    }
  }
  bool victim_signed() const { return victim_signed_; }
  size_t released() const { return loot_->released(); }
  bool OpensTheVictim() const {
    bool opens = loot_->OpensSeed(0);
    for (uint32_t device = 1; device <= partners_; ++device) opens = opens && loot_->OpensMaskKey(device);
    return opens;
  }

 private:
  SessionFixture& Begin() {
    session_.Advertise();
    return session_;
  }
  SessionFixture session_;
  LyingCoordinator coordinator_;
  uint32_t partners_ = 0;
  bool victim_signed_ = false;
  std::optional<Loot> loot_;
};

TEST(FewSharedTest, TheOthersDoNotVouchForADeadNeighbourhood) {
  const FewShared attack(2);  // as many liars as the session allows for
  EXPECT_FALSE(attack.victim_signed());
  EXPECT_EQ(attack.released(), 0u);
  EXPECT_FALSE(attack.OpensTheVictim());
}

TEST(FewSharedTest, WithOneLiarMoreTheyVouchAndDoNotHelpForTheyAreNotNamed) {
  const FewShared attack(3);
  EXPECT_FALSE(attack.victim_signed());
  EXPECT_FALSE(attack.OpensTheVictim());
  EXPECT_TRUE(FewShared(3, true).OpensTheVictim());  // the victim's list is what keeps them from it
}

TEST(DeadNeighbourhoodTest, AnHDeviceWantsAsManyNeighboursAliveAsTheThreshold) {
  Masked masked = MaskedH(64);
  const LyingCoordinator& coordinator = masked.coordinator;
  ASSERT_FALSE(coordinator.complete());
  const std::vector<uint32_t> neighbours = coordinator.NeighboursOf(0);
  Devices dead(neighbours.begin() + coordinator.threshold() - 1, neighbours.end());  // one too few left
  const Bitmap too_few = coordinator.ViewWithout(dead);
  EXPECT_GE(too_few.Count(), 50u);  // elsewhere all is well
  ClientSession& victim = masked.session.clients[0];
  EXPECT_THAT(victim.OnUnmaskRequest(coordinator.Encode(coordinator.RequestFor(0, too_few, {}))),
              HasStatus(kFailed, "hold shares"));
  dead.erase(dead.begin());
  const Bitmap enough = coordinator.ViewWithout(dead);
  EXPECT_THAT(victim.OnUnmaskRequest(coordinator.Encode(coordinator.RequestFor(0, enough, {}))), IsOk());
}

TEST(DeadNeighbourhoodTest, AnMDeviceDoesNotSignIt) {
  Masked masked = MaskedM(12);  // complete: all neighbours, threshold 7 with itself
  const LyingCoordinator& coordinator = masked.coordinator;
  ASSERT_EQ(coordinator.threshold(), 7u);
  ClientSession& victim = masked.session.clients[0];
  EXPECT_THAT(victim.OnView(coordinator.ViewMessage(coordinator.ViewWithout({1, 2, 3, 4, 5, 6}))),
              HasStatus(kFailed, "hold shares"));
  EXPECT_THAT(victim.OnView(coordinator.ViewMessage(coordinator.ViewWithout({1, 2, 3, 4, 5}))), IsOk());
}

TEST(UnmaskListsTest, OverlappingOnesAreRefused) {
  Masked masked = MaskedH(8);
  const LyingCoordinator& coordinator = masked.coordinator;
  const UnmaskRequest good = coordinator.RequestFor(0, coordinator.ViewWithout({7}), {});
  ClientSession& victim = masked.session.clients[0];
  for (uint32_t i = 0; i < 7; ++i) {
    UnmaskRequest both = good;
    both.alive.Add(i);
    both.dropped.Add(i);
    EXPECT_THAT(victim.OnUnmaskRequest(coordinator.Encode(both)), HasStatus(kInvalid, "both alive and dropped"));
  }
  EXPECT_THAT(victim.OnUnmaskRequest(coordinator.Encode(good)), IsOk());
}

TEST(UnmaskListsTest, TheyFollowFromTheView) {
  Masked masked = MaskedH(8);
  const LyingCoordinator& coordinator = masked.coordinator;
  const Bitmap view = coordinator.ViewWithout({7});
  const UnmaskRequest good = coordinator.RequestFor(0, view, {});
  ClientSession& victim = masked.session.clients[0];
  for (uint32_t i = 0; i < 7; ++i) {
    UnmaskRequest turned = good;  // the other list than the view says
    turned.alive = turned.dropped = Bitmap(7);
    UnmaskRequest left_out = turned;  // neither
    for (uint32_t other = 0; other < 7; ++other) {
      const bool alive = good.alive.Has(other);
      (alive != (other == i) ? turned.alive : turned.dropped).Add(other);
      if (other != i) (alive ? left_out.alive : left_out.dropped).Add(other);
    }
    EXPECT_THAT(victim.OnUnmaskRequest(coordinator.Encode(turned)), HasStatus(kInvalid, "do not follow"));
    EXPECT_THAT(victim.OnUnmaskRequest(coordinator.Encode(left_out)), HasStatus(kInvalid, "do not follow"));
  }
  EXPECT_THAT(victim.OnUnmaskRequest(coordinator.Encode(good)), IsOk());
}

TEST(SecondRequestTest, OneOfAnotherViewIsRefusedAndTheSameAnsweredTheSame) {
  Masked masked = MaskedH(8);
  const LyingCoordinator& coordinator = masked.coordinator;
  const Bytes first = coordinator.Encode(coordinator.RequestFor(0, coordinator.ViewWithout({7}), {}));
  const Bytes second = coordinator.Encode(coordinator.RequestFor(0, coordinator.ViewWithout({6}), {}));
  const absl::StatusOr<Bytes> answer = masked.session.clients[0].OnUnmaskRequest(first);
  ASSERT_THAT(answer, IsOk());
  EXPECT_THAT(masked.session.clients[0].OnUnmaskRequest(second), HasStatus(kFailed, "another message"));
  EXPECT_EQ(*masked.session.clients[0].OnUnmaskRequest(first), *answer);
  // Nor does a crash make it forget.
  ClientSession restored = masked.Copy(0);
  EXPECT_THAT(restored.OnUnmaskRequest(second), HasStatus(kFailed, "another message"));
  EXPECT_EQ(*restored.OnUnmaskRequest(first), *answer);
}

TEST(SecondRequestTest, ACrashDoesNotMakeADeviceForgetWhatItSigned) {
  Masked masked = MaskedM(8);
  LyingCoordinator& coordinator = masked.coordinator;
  const Bitmap view = coordinator.ViewWithout({7});
  const std::map<uint32_t, Signature> signatures = coordinator.CollectSignatures(view);
  ClientSession restored = masked.Copy(0);
  EXPECT_EQ(restored.phase(), ClientPhase::kViewSigned);
  EXPECT_THAT(restored.OnView(coordinator.ViewMessage(coordinator.ViewWithout({6}))), HasStatus(kFailed, "another"));
  const absl::StatusOr<Bytes> again = restored.OnView(coordinator.ViewMessage(view));
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(ParseViewSignature(*again, coordinator.sid()).value(), signatures.at(0));
  EXPECT_THAT(restored.OnUnmaskRequest(coordinator.Encode(coordinator.RequestFor(0, view, signatures))), IsOk());
}

TEST(LeftOutTest, ADeviceOutsideTheViewSaysNothing) {
  Masked h = MaskedH(8);
  EXPECT_THAT(h.session.clients[0].OnUnmaskRequest(
                  h.coordinator.Encode(h.coordinator.RequestFor(0, h.coordinator.ViewWithout({0}), {}))),
              HasStatus(kFailed, "leaves this device out"));
  EXPECT_THAT(h.session.clients[0].OnUnmaskRequest(
                  h.coordinator.Encode(h.coordinator.RequestFor(0, h.coordinator.ViewWithout({}), {}))),
              IsOk());
  Masked m = MaskedM(8);
  EXPECT_THAT(m.session.clients[0].OnView(m.coordinator.ViewMessage(m.coordinator.ViewWithout({0}))),
              HasStatus(kFailed, "leaves this device out"));
  EXPECT_THAT(m.session.clients[0].OnView(m.coordinator.ViewMessage(m.coordinator.ViewWithout({}))), IsOk());
}

TEST(TooFewSurvivorsTest, TheHigherOfConfigAndPolicyCounts) {
  for (const Profile profile : {Profile::kHonestButCurious, Profile::kMalicious}) {
    SessionConfig config = TestConfig(10, profile);
    config.min_cohort = 10;
    config.min_survivors = 9;
    Masked masked(config, 10);
    const LyingCoordinator& coordinator = masked.coordinator;
    const auto show = [&](ClientSession& client, const Devices& dead) {
      const Bitmap view = coordinator.ViewWithout(dead);
      if (profile == Profile::kMalicious) return client.OnView(coordinator.ViewMessage(view)).status();
      return client.OnUnmaskRequest(coordinator.Encode(coordinator.RequestFor(0, view, {}))).status();
    };
    EXPECT_THAT(show(masked.session.clients[0], {8, 9}), HasStatus(kFailed, "survivors"));
    masked.session.policy.min_survivors = 10;
    ClientSession strict = masked.Copy(0);
    EXPECT_THAT(show(strict, {9}), HasStatus(kFailed, "at least 10 survivors"));
    EXPECT_THAT(show(masked.session.clients[0], {9}), IsOk());
  }
}

// A neighbour that did not share, so that no mask is on the input with it, must not be called a survivor: its seed is
// one that nobody could ask for.
TEST(SurvivorsTest, NobodySurvivesWhoSharedNothing) {
  SessionFixture session(TestConfig(8), 8);
  session.Advertise();
  LyingCoordinator coordinator(session);
  session.ShareKeys({7});
  ASSERT_THAT(session.clients[0].OnShares(session.MessageFor(0).value()), IsOk());
  ASSERT_THAT(session.clients[0].Mask(session.inputs[0]), IsOk());
  UnmaskRequest request = coordinator.RequestFor(0, coordinator.ViewWithout({}), {});
  EXPECT_THAT(session.clients[0].OnUnmaskRequest(coordinator.Encode(request)), HasStatus(kFailed, "shared nothing"));
  request = coordinator.RequestFor(0, coordinator.ViewWithout({7}), {});
  request.dropped = Bitmap(7);  // it is not asked about at all
  EXPECT_THAT(session.clients[0].OnUnmaskRequest(coordinator.Encode(request)), IsOk());
}

}  // namespace
}  // namespace fleetune::secagg
