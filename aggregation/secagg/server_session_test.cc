#include "aggregation/secagg/server_session.h"

#include <algorithm>
#include <set>
#include <vector>

#include "aggregation/secagg/lying_coordinator.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

using Kind = SessionEvent::Kind;
using NextKind = NextForDevice::Kind;
constexpr auto kFailed = absl::StatusCode::kFailedPrecondition;

// The n-th of `count` devices answers in `phase` (0: advertise ... 4: unmask).
void Answer(SessionFixture& session, int phase, uint32_t device) {
  if (phase == 0) {
    ASSERT_THAT(session.Deliver(device, session.clients[device].advertisement()), IsOk());
    return;
  }
  if (phase == 2) {
    session.CommitInput(device);
    return;
  }
  const absl::StatusOr<Bytes> answer =
      Hear(session.clients[device], session.MessageFor(device).value(), session.random);
  ASSERT_THAT(answer, IsOk());
  ASSERT_THAT(session.Deliver(device, *answer), IsOk());
}

constexpr ServerPhase kPhases[] = {ServerPhase::kAdvertise, ServerPhase::kShareKeys, ServerPhase::kMaskedInput,
                                   ServerPhase::kView, ServerPhase::kUnmask};
constexpr Kind kCloses[] = {Kind::kRosterClosed, Kind::kSharesClosed, Kind::kInputsClosed, Kind::kViewsClosed};

TEST(ServerSessionTest, PhasesEndWhenAllHaveAnsweredAndNotBefore) {
  SessionFixture session(TestConfig(5, Profile::kMalicious), 5);
  for (int phase = 0; phase < 5; ++phase) {
    ASSERT_EQ(session.server.phase(), kPhases[phase]);
    EXPECT_EQ(session.server.phase_time(), std::chrono::seconds(1));
    EXPECT_FALSE(session.server.EnoughShares());
    EXPECT_EQ(session.server.RecoverMasks().ok(), false);
    for (uint32_t device = 0; device < 5; ++device) {
      EXPECT_EQ(session.server.Due(false), std::nullopt) << phase << " " << device;
      EXPECT_EQ(session.server.answered(), device);
      EXPECT_EQ(session.server.asked(), 5u);
      Answer(session, phase, device);
    }
    if (phase == 4) break;
    const std::optional<SessionEvent> due = session.server.Due(false);
    ASSERT_TRUE(due.has_value()) << phase;
    EXPECT_EQ(due->kind, kCloses[phase]);
    session.Log(*due);
  }
  EXPECT_EQ(session.server.Due(false), std::nullopt);  // RecoverMasks ends it
  EXPECT_EQ(session.server.Due(true), std::nullopt);
  EXPECT_TRUE(session.server.AllUnmasked());
  EXPECT_EQ(*session.Open(), session.ExpectedSum());
  EXPECT_EQ(session.server.phase_time(), std::chrono::milliseconds(0));
  EXPECT_EQ(session.server.Due(true), std::nullopt);
}

// min_cohort and min_survivors of 6; the thresholds of 8 devices in M are 5.
TEST(ServerSessionTest, TimeEndsAPhaseForGoodOrForIll) {
  const uint32_t needed[] = {6, 6, 6, 5, 5};
  for (int phase = 0; phase < 5; ++phase) {
    for (const bool enough : {false, true}) {
      SCOPED_TRACE("phase " + std::to_string(phase) + (enough ? ", enough" : ", too few"));
      SessionConfig config = TestConfig(8, Profile::kMalicious);
      config.min_cohort = config.min_survivors = 6;
      SessionFixture session(config, 8);
      for (int before = 0; before < phase; ++before) {
        for (uint32_t device = 0; device < 8; ++device) Answer(session, before, device);
        session.Log(*session.server.Due(false));
      }
      ASSERT_EQ(session.server.phase(), kPhases[phase]);
      for (uint32_t device = 0; device + (enough ? 0 : 1) < needed[phase]; ++device) Answer(session, phase, device);
      EXPECT_EQ(session.server.Due(false), std::nullopt);
      const std::optional<SessionEvent> due = session.server.Due(true);
      if (phase == 4 && enough) {
        EXPECT_EQ(due, std::nullopt);
        EXPECT_TRUE(session.server.EnoughShares());
        EXPECT_EQ(*session.Open(), session.ExpectedSum());
        continue;
      }
      ASSERT_TRUE(due.has_value());
      EXPECT_EQ(due->kind, enough ? kCloses[phase] : Kind::kFailed);
      session.Log(*due);
      if (enough) continue;
      EXPECT_EQ(session.server.phase(), ServerPhase::kFailed);
      EXPECT_FALSE(session.server.failure().empty());
      // A late message does not bring it back.
      for (uint32_t device = 0; device < 8; ++device) {
        const auto late = session.server.Check(session.devices[device]->peer(), session.clients[device].advertisement(),
                                               ReadTestCertificate);
        EXPECT_TRUE(!late.ok() || !late->has_value());
        const auto next = session.server.NextFor(session.devices[device]->name);
        if (next.ok()) {
          EXPECT_EQ(next->kind, NextKind::kOver);
        }
        EXPECT_EQ(session.server.RecoverMasks().ok(), false);
      }
    }
  }
}

// Everything that can be asked of it.
std::vector<std::string> Observed(const ServerSession& server) {
  std::vector<std::string> seen{std::string(ServerPhaseName(server.phase())), server.failure(),
                                std::to_string(server.answered()) + " of " + std::to_string(server.asked()),
                                std::to_string(server.advertised()) + ", " + std::to_string(server.shared()) + ", " +
                                    std::to_string(server.committed())};
  for (const std::string& device : server.counted()) seen.push_back(device);
  for (const std::string& device : server.devices()) {
    const NextForDevice next = server.NextFor(device).value();
    seen.push_back(device + std::to_string(static_cast<int>(next.kind)) + (next.counted ? "c" : "") +
                   std::string(AsText(next.message)));
  }
  for (const bool time_over : {false, true}) {
    const auto due = server.Due(time_over);
    seen.push_back(due.has_value() ? std::string(AsText(EncodeSessionEvent(*due))) : "none");
  }
  return seen;
}

TEST(ServerSessionTest, EveryPrefixOfTheLogGivesTheStateOfThen) {
  SessionFixture session(TestConfig(6, Profile::kMalicious), 6);
  std::vector<SessionEvent> log{session.server.OpenedEvent()};
  session.Advertise();
  session.ShareKeys({5});
  session.MaskInputs({4, 5});
  session.SignViews({4, 5});
  session.Unmask({4, 5});
  ASSERT_THAT(session.Open(), IsOk());
  ServerSession live = ServerSession::Open(session.server.config_bytes()).value();
  for (const SessionEvent& event : session.log) {
    live.Apply(event);
    log.push_back(ParseSessionEvent(EncodeSessionEvent(event)).value());
    const absl::StatusOr<ServerSession> replayed = ServerSession::Replay(log);
    ASSERT_THAT(replayed, IsOk());
    EXPECT_EQ(Observed(*replayed), Observed(live));
  }
  EXPECT_EQ(Observed(live), Observed(session.server));
  const ServerSession copy = session.server;
  EXPECT_EQ(Observed(copy), Observed(session.server));
}

TEST(ServerSessionTest, ALogBeginsWithItsConfig) {
  SessionFixture session(TestConfig(3), 3);
  session.Advertise();
  EXPECT_THAT(ServerSession::Replay({}), HasStatus(absl::StatusCode::kDataLoss, "config"));
  EXPECT_THAT(ServerSession::Replay(session.log), HasStatus(absl::StatusCode::kDataLoss, "config"));
  SessionEvent opened = session.server.OpenedEvent();
  opened.body.pop_back();
  EXPECT_THAT(ServerSession::Replay(std::vector{opened}), HasStatus(absl::StatusCode::kDataLoss, ""));
}

// Each event in each phase that it is not of: nothing changes.
TEST(ServerSessionTest, EventsThatDoNotFitChangeNothing) {
  SessionFixture session(TestConfig(4, Profile::kMalicious), 4);
  std::vector<ServerSession> states{session.server};
  const auto note = [&] { states.push_back(session.server); };
  session.Advertise();
  note();
  session.ShareKeys();
  note();
  session.MaskInputs();
  note();
  session.SignViews();
  note();
  session.Unmask();
  ASSERT_THAT(session.Open(), IsOk());
  note();
  const auto phase_of = [](Kind kind) {
    switch (kind) {
      case Kind::kAdvertised:
      case Kind::kRosterClosed:
        return ServerPhase::kAdvertise;
      case Kind::kShared:
      case Kind::kSharesClosed:
        return ServerPhase::kShareKeys;
      case Kind::kCommitted:
      case Kind::kInputsClosed:
        return ServerPhase::kMaskedInput;
      case Kind::kViewSigned:
      case Kind::kViewsClosed:
        return ServerPhase::kView;
      default:
        return ServerPhase::kUnmask;
    }
  };
  std::vector<SessionEvent> events = session.log;
  events.push_back(session.server.OpenedEvent());
  for (const ServerSession& state : states) {
    const std::vector<std::string> before = Observed(state);
    for (SessionEvent event : events) {
      if (event.kind != Kind::kOpened && phase_of(event.kind) == state.phase()) {
        // Of this phase, but of nobody, or damaged.
        if (event.body.empty() && event.kind != Kind::kCommitted) continue;
        event.seat = 4;
        if (!event.body.empty()) event.body.pop_back();
      }
      ServerSession changed = state;
      changed.Apply(event);
      EXPECT_EQ(Observed(changed), before)
          << "event " << static_cast<int>(event.kind) << " while " << ServerPhaseName(state.phase());
    }
  }
}

TEST(ServerSessionTest, WhatCameBeforeMakesNoSecondEvent) {
  SessionFixture session(TestConfig(4, Profile::kMalicious), 4);
  std::vector<std::pair<uint32_t, Bytes>> said;
  for (int phase = 0; phase < 5; ++phase) {
    for (uint32_t device = 0; device < 4; ++device) {
      Answer(session, phase, device);
      if (phase != 2) said.emplace_back(device, session.log.back().body);
      if (phase == 2) {
        EXPECT_FALSE(session.server.InputWanted(session.devices[device]->name).value());
        const auto again = session.server.CheckInput(session.devices[device]->name, {}, ReadTestCertificate);
        ASSERT_THAT(again, IsOk());
        EXPECT_EQ(*again, std::nullopt);
      }
    }
    if (phase < 4) session.Log(*session.server.Due(false));
    // At once and ever after.
    for (const auto& [device, message] : said) {
      const auto again = session.server.Check(session.devices[device]->peer(), message, ReadTestCertificate);
      ASSERT_THAT(again, IsOk()) << "kind " << int{message[0]} << " after phase " << phase;
      EXPECT_EQ(*again, std::nullopt);
    }
  }
}

// What waits together is judged as one by one: good, badly signed, of another device, of the wrong phase, no message.
TEST(ServerSessionTest, ManyAtOnceAreCheckedAsEachByItself) {
  SessionFixture session(TestConfig(12, Profile::kMalicious), 12);
  std::vector<VerifiedPeer> peers;
  std::vector<Bytes> messages;
  for (uint32_t device = 0; device < 12; ++device) {
    peers.push_back(session.devices[device]->peer());
    messages.push_back(session.clients[device].advertisement());
  }
  messages[2].back() ^= 1;
  messages[5] = messages[6];
  messages[7] = {};
  messages[9].pop_back();
  const auto expect_as_each = [&](size_t good) {
    std::vector<WaitingMessage> waiting;
    for (size_t i = 0; i < peers.size(); ++i) waiting.push_back({peers[i], messages[i]});
    const std::vector<CheckedMessage> checked = session.server.CheckEach(waiting, ReadTestCertificate);
    ASSERT_EQ(checked.size(), waiting.size());
    size_t events = 0;
    for (size_t i = 0; i < checked.size(); ++i) {
      const CheckedMessage expected = session.server.Check(peers[i], messages[i], ReadTestCertificate);
      ASSERT_EQ(checked[i].status(), expected.status()) << i;
      if (!expected.ok()) continue;
      EXPECT_EQ(*checked[i], *expected) << i;
      events += checked[i]->has_value() ? 1 : 0;
    }
    EXPECT_EQ(events, good);
  };
  expect_as_each(8);
  EXPECT_THAT(session.server.Check(peers[2], messages[2], ReadTestCertificate),
              HasStatus(absl::StatusCode::kUnauthenticated, "does not verify"));
  Answer(session, 0, 0);  // one has a seat: its message is known, and another of it refused
  expect_as_each(7);
  EXPECT_TRUE(session.server.CheckEach({}, ReadTestCertificate).empty());
}

TEST(ServerSessionTest, ManyListsAtOnceAreCheckedAsEachByItself) {
  SessionFixture session(TestConfig(10, Profile::kMalicious), 10);
  session.Advertise();
  session.ShareKeys();
  std::vector<std::string> devices;
  std::vector<Bytes> lists;
  for (uint32_t device = 0; device < 10; ++device) {
    ASSERT_THAT(session.clients[device].OnShares(session.MessageFor(device).value()), IsOk());
    const Bytes masked = session.clients[device].Mask(session.inputs[device]).value();
    devices.push_back(session.devices[device]->name);
    lists.emplace_back(masked.begin() + static_cast<ptrdiff_t>(session.server.packed_bytes()), masked.end());
  }
  lists[1].back() ^= 1;   // not signed
  lists[3].front() ^= 1;  // not what it was told
  lists[4] = lists[5];    // of another device
  lists[6].clear();
  devices[8] = "nobody";
  std::vector<WaitingInput> waiting;
  for (size_t i = 0; i < devices.size(); ++i) waiting.push_back({devices[i], lists[i]});
  const std::vector<CheckedMessage> checked = session.server.CheckEachInput(waiting, ReadTestCertificate);
  ASSERT_EQ(checked.size(), waiting.size());
  for (size_t i = 0; i < checked.size(); ++i) {
    const CheckedMessage expected = session.server.CheckInput(devices[i], lists[i], ReadTestCertificate);
    ASSERT_EQ(checked[i].status(), expected.status()) << i;
    const bool bad = i == 1 || i == 3 || i == 4 || i == 6 || i == 8;
    ASSERT_EQ(checked[i].ok(), !bad) << i;
    if (!bad) {
      EXPECT_EQ(*checked[i], *expected) << i;
    }
  }
}

TEST(ServerSessionTest, LateOnesAreRefused) {
  SessionFixture session(TestConfig(6), 6);
  const Bytes late_advertisement = session.clients[5].advertisement();
  session.Advertise({5});
  EXPECT_THAT(session.Deliver(5, late_advertisement), HasStatus(kFailed, "roster"));
  EXPECT_THAT(session.server.NextFor(session.devices[5]->name), HasStatus(kFailed, "no seat"));
  const Bytes late_shares =
      session.clients[4].OnRoster(session.MessageFor(4).value(), ReadTestCertificate, session.random).value();
  session.ShareKeys({4, 5});
  EXPECT_THAT(session.Deliver(4, late_shares), HasStatus(kFailed, "collecting"));
  EXPECT_EQ(session.server.NextFor(session.devices[4]->name)->kind, NextKind::kOver);
  EXPECT_THAT(session.server.InputWanted(session.devices[4]->name), HasStatus(kFailed, "too few"));
  session.MaskInputs({3});
  EXPECT_THAT(session.server.InputWanted(session.devices[3]->name), HasStatus(kFailed, "unmasking"));
  EXPECT_THAT(session.server.InputWanted("nobody"), HasStatus(kFailed, ""));
  session.Unmask();
  EXPECT_EQ(*session.Open(), session.ExpectedSum());
  for (uint32_t device = 0; device < 5; ++device) {
    const auto next = session.server.NextFor(session.devices[device]->name);
    ASSERT_THAT(next, IsOk());
    EXPECT_EQ(next->kind, NextKind::kOver);
    EXPECT_EQ(next->counted, device < 3);
  }
}

TEST(ServerSessionTest, NoMoreSeatsThanThereAre) {
  SessionFixture session(TestConfig(3), 3);
  SessionFixture more(TestConfig(3), 4, 2);
  for (uint32_t device = 0; device < 3; ++device) Answer(session, 0, device);
  EXPECT_THAT(session.server.Check(more.devices[3]->peer(), more.clients[3].advertisement(), ReadTestCertificate),
              HasStatus(kFailed, "no seat is left"));
  // One that has a seat comes with other keys.
  EXPECT_THAT(session.Deliver(0, more.clients[0].advertisement()), HasStatus(kFailed, "other keys"));
}

// Devices with too few sharing neighbours go, then those that have too few for that.
TEST(PruningTest, WhoeverIsLeftHasEnoughNeighboursLeft) {
  SessionFixture session(TestConfig(64), 64);
  session.Advertise();
  const LyingCoordinator coordinator(session);
  ASSERT_FALSE(coordinator.complete());
  const std::vector<uint32_t> around = coordinator.NeighboursOf(0);
  const Devices missing(around.begin() + coordinator.threshold() - 1, around.end());
  session.ShareKeys(missing);
  ASSERT_EQ(session.server.phase(), ServerPhase::kMaskedInput);
  Devices left;
  for (uint32_t device = 0; device < 64; ++device) {
    if (session.server.NextFor(session.devices[device]->name)->kind == NextKind::kMessage) left.insert(device);
  }
  EXPECT_FALSE(left.contains(0));
  EXPECT_GE(left.size(), 3u);
  EXPECT_EQ(session.server.asked(), left.size());
  for (uint32_t device = 0; device < 64; ++device) {
    uint32_t near = 0;
    for (const uint32_t neighbour : coordinator.NeighboursOf(device)) near += left.contains(neighbour) ? 1 : 0;
    // Nobody stays with too few, and nobody goes who had enough.
    EXPECT_EQ(left.contains(device), near >= coordinator.threshold() && !missing.contains(device)) << device;
  }
  EXPECT_THAT(session.server.InputWanted(session.devices[0]->name), HasStatus(kFailed, "too few others"));
  session.MaskInputs();
  EXPECT_EQ(session.server.counted().size(), left.size());
  session.Unmask();
  EXPECT_EQ(*session.Open(), session.ExpectedSum());
}

// A cascade: a device with just enough sharing neighbours goes, because one of them has too few and goes first.
TEST(PruningTest, WhoLeavesMayTakeOthersAlong) {
  SessionFixture session(TestConfig(64), 64);
  session.Advertise();
  const LyingCoordinator coordinator(session);
  const int64_t threshold = coordinator.threshold();
  const std::vector<uint32_t> of_first = coordinator.NeighboursOf(0);
  const auto common = [&](uint32_t device) {
    std::vector<uint32_t> both = coordinator.NeighboursOf(device);
    std::erase_if(both, [&](uint32_t other) { return std::ranges::count(of_first, other) == 0; });
    return both;
  };
  const uint32_t second = *std::ranges::min_element(of_first, {}, [&](uint32_t d) { return common(d).size(); });
  Devices missing{common(second).front()};
  const auto near = [&](uint32_t device) {
    return std::ranges::count_if(coordinator.NeighboursOf(device), [&](uint32_t n) { return !missing.contains(n); });
  };
  const auto leave_to = [&](uint32_t device, int64_t left, uint32_t but) {
    for (const uint32_t neighbour : coordinator.NeighboursOf(device)) {
      const bool of_both = std::ranges::count(common(second), neighbour) > 0;
      if (near(device) > left && neighbour != but && !of_both) missing.insert(neighbour);
    }
  };
  leave_to(0, threshold - 1, second);
  leave_to(second, threshold, 0);
  ASSERT_EQ(near(0), threshold - 1);
  ASSERT_EQ(near(second), threshold);
  session.ShareKeys(missing);
  ASSERT_EQ(session.server.phase(), ServerPhase::kMaskedInput);
  EXPECT_THAT(session.server.InputWanted(session.devices[0]->name), HasStatus(kFailed, "too few others"));
  EXPECT_THAT(session.server.InputWanted(session.devices[second]->name), HasStatus(kFailed, "too few others"));
  session.MaskInputs();
  session.Unmask();
  EXPECT_EQ(*session.Open(), session.ExpectedSum());
}

TEST(PruningTest, TooFewLeftEndTheCell) {
  SessionFixture session(TestConfig(5), 5);
  session.Advertise();
  session.ShareKeys({0, 1, 2});
  EXPECT_EQ(session.server.phase(), ServerPhase::kFailed);
  EXPECT_EQ(session.server.NextFor(session.devices[4]->name)->kind, NextKind::kOver);
}

// A neighbourhood that dropped out, in a sparse graph: nobody could open what is missing.
TEST(InputsTest, TooManyDroppedAroundOneDeviceEndTheCell) {
  SessionFixture session(TestConfig(64), 64);
  session.Advertise();
  const LyingCoordinator coordinator(session);
  session.ShareKeys();
  const std::vector<uint32_t> around = coordinator.NeighboursOf(0);
  session.MaskInputs(Devices(around.begin() + coordinator.threshold() - 1, around.end()));
  EXPECT_EQ(session.server.phase(), ServerPhase::kFailed);
  EXPECT_NE(session.server.failure().find("around one device"), std::string::npos) << session.server.failure();
}

// It was not asked, since it did not sign the view: its answer must not stand for that of another.
TEST(UnmaskingTest, ADeviceThatDidNotSignTheViewIsNotHeard) {
  constexpr uint32_t kCount = 5;
  SessionFixture session(TestConfig(kCount, Profile::kMalicious), kCount);
  session.Advertise();
  const LyingCoordinator coordinator(session);
  session.ShareKeys();
  session.MaskInputs();
  session.SignViews({4});
  ASSERT_EQ(session.server.phase(), ServerPhase::kUnmask);
  EXPECT_EQ(session.server.asked(), 4u);
  for (uint32_t device = 0; device < 3; ++device) Answer(session, 4, device);
  const Digest view = ViewHash(coordinator.sid(), coordinator.ViewWithout({}));
  UnmaskMessage nothing{.given = Bitmap(kCount), .shares = {}};
  nothing.signature =
      session.devices[4]->key.Sign(SignPurpose::kSecAggUnmask, SignedPart(nothing, coordinator.sid(), view));
  EXPECT_THAT(session.Deliver(4, EncodeUnmask(nothing, coordinator.sid(), view)), HasStatus(kFailed, "not asked"));
  EXPECT_FALSE(session.server.AllUnmasked());
  EXPECT_EQ(session.server.Due(false), std::nullopt);
  Answer(session, 4, 3);
  EXPECT_TRUE(session.server.AllUnmasked());
  EXPECT_EQ(*session.Open(), session.ExpectedSum());
}

TEST(ServerSessionTest, MessagesOfNoPhaseAreRefused) {
  SessionFixture session(TestConfig(3), 3);
  for (const Bytes& message : {Bytes{}, Bytes{0}, Bytes{2}, Bytes{4}, Bytes{5}, Bytes{7}, Bytes{9}, Bytes{255}}) {
    EXPECT_THAT(session.Deliver(0, message), HasStatus(absl::StatusCode::kInvalidArgument, "message"));
  }
  for (const Bytes& message : {Bytes{1}, Bytes{3}, Bytes{6}, Bytes{8}}) {
    EXPECT_FALSE(session.Deliver(0, message).ok());
  }
}

}  // namespace
}  // namespace fleetune::secagg
