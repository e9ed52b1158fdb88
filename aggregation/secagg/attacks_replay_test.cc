// Messages of another session, in both directions: none is taken for one of this session.

#include <utility>
#include <vector>

#include "aggregation/secagg/lying_coordinator.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

constexpr uint32_t kCount = 5;

// All that was said in a session, by the device that said it or heard it.
struct Heard {
  std::vector<std::pair<uint32_t, Bytes>> to_devices;
  std::vector<std::pair<uint32_t, Bytes>> from_devices;
};

uint32_t NumberOf(const SessionFixture& session, const std::string& device) {
  for (uint32_t i = 0; i < session.devices.size(); ++i) {
    if (session.devices[i]->name == device) return i;
  }
  CHECK(false);
  return 0;
}

// Runs the next phase (0: advertise, ... 4: unmask), and notes what is said in it. `missing` never takes part.
void Phase(SessionFixture& session, int phase, Heard& heard, const Devices& missing) {
  for (uint32_t device = 0; phase > 0 && device < session.devices.size(); ++device) {
    const absl::StatusOr<Bytes> message = session.MessageFor(device);
    if (message.ok()) heard.to_devices.emplace_back(device, *message);
  }
  const size_t logged = session.log.size();
  if (phase == 0) session.Advertise(missing);
  if (phase == 1) session.ShareKeys(missing);
  if (phase == 2) session.MaskInputs(missing);
  if (phase == 3) session.SignViews(missing);
  if (phase == 4) session.Unmask(missing);
  for (size_t i = logged; i < session.log.size(); ++i) {
    const SessionEvent& event = session.log[i];
    using Kind = SessionEvent::Kind;
    if (event.kind == Kind::kAdvertised) {
      const auto shown = ParseAdvertisement(event.body, session.server.config_hash()).value();
      heard.from_devices.emplace_back(NumberOf(session, shown.device), event.body);
    } else if (event.kind == Kind::kShared || event.kind == Kind::kViewSigned || event.kind == Kind::kUnmasked) {
      heard.from_devices.emplace_back(NumberOf(session, session.server.devices()[event.seat]), event.body);
    }
  }
}

class ReplayTest : public testing::TestWithParam<Profile> {
 protected:
  std::vector<int> Phases() const {
    if (GetParam() == Profile::kMalicious) return {0, 1, 2, 3, 4};
    return {0, 1, 2, 4};
  }
  Heard WholeSession(SessionFixture& session, const Devices& missing = {}) const {
    Heard heard;
    for (const int phase : Phases()) Phase(session, phase, heard, missing);
    EXPECT_EQ(*session.Open(), session.ExpectedSum());
    return heard;
  }
  // What is refused now, by devices and coordinator.
  static void ExpectRefused(SessionFixture& session, const Heard& old) {
    for (const auto& [device, message] : old.to_devices) {
      EXPECT_FALSE(Hear(session.clients[device], message, session.random).ok())
          << "kind " << int{message[0]} << " to device " << device << " in phase "
          << static_cast<int>(session.clients[device].phase());
    }
    for (const auto& [device, message] : old.from_devices) {
      EXPECT_FALSE(session.server.Check(session.devices[device]->peer(), message, ReadTestCertificate).ok())
          << "kind " << int{message[0]} << " from device " << device << " while "
          << ServerPhaseName(session.server.phase());
    }
  }
  void RunWithReplays(SessionFixture& session, const Heard& old) {
    Heard now;
    ExpectRefused(session, old);
    for (const int phase : Phases()) {
      Phase(session, phase, now, {});
      ExpectRefused(session, old);
    }
    const absl::StatusOr<RingVector> sum = session.Open();
    ASSERT_THAT(sum, IsOk());
    EXPECT_EQ(*sum, session.ExpectedSum());
    EXPECT_EQ(session.server.counted().size(), kCount);
    ExpectRefused(session, old);
    // All kinds were there.
    std::set<int> kinds;
    for (const auto& [device, message] : old.to_devices) kinds.insert(message[0]);
    for (const auto& [device, message] : old.from_devices) kinds.insert(message[0]);
    EXPECT_EQ(kinds.size(), GetParam() == Profile::kMalicious ? 8u : 6u);
  }
};

TEST_P(ReplayTest, OfASessionWithAnotherConfig) {
  SessionConfig config = TestConfig(kCount, GetParam());
  SessionFixture before(config, kCount);
  const Heard old = WholeSession(before);
  config.nonce.fill(1);
  SessionFixture session(config, kCount, 2);
  RunWithReplays(session, old);
}

// The same config and the same devices, who have other keys. An old advertisement is good for a seat then, but the
// device knows that it is not its own (attacks_roster_test: OwnEntryOfAnEarlierAttempt).
TEST_P(ReplayTest, OfASessionWithTheSameConfig) {
  const SessionConfig config = TestConfig(kCount, GetParam());
  SessionFixture before(config, kCount);
  Heard old = WholeSession(before);
  SessionFixture session(config, kCount, 2);
  Heard now;
  Phase(session, 0, now, {});
  for (const int phase : Phases()) {
    if (phase > 0) Phase(session, phase, now, {});
    ExpectRefused(session, old);
  }
  EXPECT_EQ(*session.Open(), session.ExpectedSum());
}

TEST_P(ReplayTest, AnOldAdvertisementOfTheSameConfigEndsInRefusal) {
  const SessionConfig config = TestConfig(kCount, GetParam());
  SessionFixture before(config, kCount);
  SessionFixture session(config, kCount, 2);
  ASSERT_THAT(session.Deliver(0, before.clients[0].advertisement()), IsOk());
  EXPECT_THAT(session.Deliver(0, session.clients[0].advertisement()),
              HasStatus(absl::StatusCode::kFailedPrecondition, "other keys"));
  session.Advertise({0});
  EXPECT_THAT(session.clients[0].OnRoster(session.MessageFor(0).value(), ReadTestCertificate, session.random),
              HasStatus(absl::StatusCode::kFailedPrecondition, "own entry"));
}

// The same devices with the same keys and config, in another roster: all but the advertisement is of that roster.
TEST_P(ReplayTest, OfAnotherRosterOfTheSameKeys) {
  SessionConfig config = TestConfig(kCount + 1, GetParam());
  config.min_cohort = kCount;
  SessionFixture one(config, kCount + 1);
  SessionFixture other(config, kCount + 1);  // the same seed, so the same keys
  const Heard old = WholeSession(one);
  Heard now;
  Phase(other, 0, now, {kCount});
  for (uint32_t device = 0; device < kCount; ++device) {
    ASSERT_EQ(one.clients[device].advertisement(), other.clients[device].advertisement());
  }
  Heard later;  // without the advertisements, which are its own
  for (const auto& said : old.from_devices) {
    if (said.second[0] != 1) later.from_devices.push_back(said);
  }
  for (const auto& said : old.to_devices) {
    if (said.second[0] != 2) later.to_devices.push_back(said);
  }
  ExpectRefused(other, later);
  for (const int phase : Phases()) {
    if (phase == 0) continue;
    Phase(other, phase, now, {kCount});
    ExpectRefused(other, later);
    for (const auto& [device, message] : old.to_devices) {  // and no second roster
      if (message[0] != 2 || device >= kCount) continue;
      EXPECT_FALSE(Hear(other.clients[device], message, other.random).ok());
    }
  }
  EXPECT_EQ(*other.Open(), other.ExpectedSum());
}

// What another device of the same session said or heard.
TEST_P(ReplayTest, OfAnotherDeviceOfTheSameSession) {
  SessionFixture session(TestConfig(kCount, GetParam()), kCount);
  Heard now;
  for (const int phase : Phases()) {
    Phase(session, phase, now, {});
    for (const auto& [device, message] : now.from_devices) {
      const uint32_t other = (device + 1) % kCount;
      EXPECT_FALSE(session.server.Check(session.devices[other]->peer(), message, ReadTestCertificate).ok());
    }
  }
  EXPECT_EQ(*session.Open(), session.ExpectedSum());
}

INSTANTIATE_TEST_SUITE_P(Profiles, ReplayTest, testing::Values(Profile::kHonestButCurious, Profile::kMalicious));

}  // namespace
}  // namespace fleetune::secagg
