// kill -9 at each write of the coordinator's log, and of the devices' stores: the sum is right or there is none, and
// no device says two things.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "aggregation/secagg/lying_coordinator.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

// A session whose devices act one at a time, in any order, and whose coordinator begins anew from its log whenever the
// test wants.
class CrashingSession {
 public:
  CrashingSession(Profile profile, uint32_t count, uint64_t seed)
      : random_(seed), session_(ConfigOf(profile, count), count, seed) {
    log_.push_back(session_.server.OpenedEvent());
  }

  // What is durable: the log, and the sum of the inputs that it counts.
  struct Disk {
    std::vector<SessionEvent> log;
    RingLanes sum;
  };
  Disk disk() const { return {.log = log_, .sum = *session_.sum}; }
  const std::vector<SessionEvent>& log() const { return log_; }
  // All that the disk had after each write.
  const std::vector<Disk>& history() const { return history_; }

  // The coordinator dies, and comes back with this.
  void RestartWith(const Disk& disk) {
    log_ = disk.log;
    *session_.sum = disk.sum;
    session_.server = ServerSession::Replay(log_).value();
  }
  void RestartDevice(uint32_t device) {
    session_.clients[device] =
        ClientSession::Load(session_.devices[device]->identity(), session_.policy, session_.clients[device].Save())
            .value();
  }
  // What the devices keep, and what they have said.
  struct Devices {
    std::vector<Bytes> saved;
    std::map<uint32_t, std::set<Bytes>> views;   // by device: that it signed, or released shares for
    std::map<uint32_t, std::set<Bytes>> inputs;  // by device: that it sent
  };
  Devices SaveDevices() const {
    Devices devices = said_;
    for (const ClientSession& client : session_.clients) devices.saved.push_back(client.Save());
    return devices;
  }
  void LoadDevices(const Devices& devices) {
    said_ = {.saved = {}, .views = devices.views, .inputs = devices.inputs};
    for (uint32_t i = 0; i < devices.saved.size(); ++i) {
      session_.clients[i] =
          ClientSession::Load(session_.devices[i]->identity(), session_.policy, devices.saved[i]).value();
    }
  }

  // To the end of the session. In each phase each device that is still there vanishes with this chance, in percent.
  // `after_write` runs after each event was made durable.
  void Run(uint32_t dropout_percent, absl::FunctionRef<void()> after_write) {
    std::set<uint32_t> gone;
    for (int guard = 0; guard < 12 && !Over(); ++guard) {
      std::vector<uint32_t> order;
      for (uint32_t device = 0; device < session_.clients.size(); ++device) {
        if (random_.Below(100) < dropout_percent) gone.insert(device);
        if (!gone.contains(device)) order.insert(order.begin() + random_.Below(order.size() + 1), device);
      }
      for (const uint32_t device : order) Act(device, after_write);
      if (session_.server.phase() == ServerPhase::kUnmask && session_.server.EnoughShares()) {
        Finish(after_write);
      } else if (const std::optional<SessionEvent> due = session_.server.Due(true); due.has_value()) {
        Write(*due, after_write);
      }
    }
    ASSERT_TRUE(Over()) << ServerPhaseName(session_.server.phase());
  }

  bool Over() const {
    return session_.server.phase() == ServerPhase::kFinished || session_.server.phase() == ServerPhase::kFailed;
  }
  bool finished() const { return session_.server.phase() == ServerPhase::kFinished; }
  // Finished: the sum is that of the inputs in V. No device spoke for two views.
  void Check() const {
    if (finished()) {
      EXPECT_EQ(opened_, session_.ExpectedSum());
      EXPECT_GE(session_.server.counted().size(), session_.server.config().min_survivors);
    }
    for (const auto& [device, views] : said_.views) EXPECT_LE(views.size(), 1u) << "device " << device;
    for (const auto& [device, inputs] : said_.inputs) EXPECT_LE(inputs.size(), 1u) << "device " << device;
  }
  uint32_t refusals() const { return refusals_; }

 private:
  static SessionConfig ConfigOf(Profile profile, uint32_t count) {
    SessionConfig config = TestConfig(count, profile);
    config.dimension = 20;
    return config;
  }
  void Write(const SessionEvent& event, absl::FunctionRef<void()> after_write) {
    log_.push_back(ParseSessionEvent(EncodeSessionEvent(event)).value());
    session_.server.Apply(event);
    history_.push_back(disk());
    after_write();
  }
  void Act(uint32_t device, absl::FunctionRef<void()> after_write) {
    ClientSession& client = session_.clients[device];
    const Bytes said = client.advertisement();
    if (session_.server.phase() == ServerPhase::kAdvertise) return Deliver(device, said, after_write);
    const absl::StatusOr<Bytes> message = session_.MessageFor(device);
    if (!message.ok()) return;
    const absl::StatusOr<Bytes> answer = Hear(client, *message, random_);
    if (!answer.ok()) {
      ++refusals_;
      return;
    }
    if (PeekKind(*message).value() == MessageKind::kShares) return Upload(device, after_write);
    if (PeekKind(*message).value() == MessageKind::kView || PeekKind(*message).value() == MessageKind::kUnmaskRequest) {
      said_.views[device].insert(ViewIn(*message));
    }
    Deliver(device, *answer, after_write);
  }
  // V stands behind the head of both messages.
  Bytes ViewIn(const Bytes& message) const {
    const size_t cohort = session_.server.devices().size();
    return Bytes(message.begin() + 33, message.begin() + 33 + static_cast<std::ptrdiff_t>((cohort + 7) / 8));
  }
  void Deliver(uint32_t device, const Bytes& answer, absl::FunctionRef<void()> after_write) {
    const auto event = session_.server.Check(session_.devices[device]->peer(), answer, ReadTestCertificate);
    if (event.ok() && event->has_value()) Write(**event, after_write);
  }
  void Upload(uint32_t device, absl::FunctionRef<void()> after_write) {
    // After its last answer a device has forgotten the masks, and sends the bytes that it kept.
    const bool forgot = session_.clients[device].phase() == ClientPhase::kUnmasked;
    const absl::StatusOr<Bytes> masked = forgot ? absl::StatusOr<Bytes>(*said_.inputs[device].begin())
                                                : session_.clients[device].Mask(session_.inputs[device]);
    ASSERT_THAT(masked, IsOk());
    said_.inputs[device].insert(*masked);
    const auto event = session_.CheckInput(device, *masked);  // its sum is durable in one write with the event
    if (!event.ok() || !event->has_value()) return;
    Write(**event, after_write);
  }
  void Finish(absl::FunctionRef<void()> after_write) {
    const absl::StatusOr<RecoveredMasks> masks = session_.server.RecoverMasks();
    if (!masks.ok()) {
      return Write({.kind = SessionEvent::Kind::kFailed, .body = {}}, after_write);
    }
    RingLanes sum = *session_.sum;
    sum.Apply(masks->terms, OneAfterTheOther);
    opened_ = sum.Values();
    Write({.kind = SessionEvent::Kind::kFinished, .body = {}}, after_write);
  }

  SplitMix64 random_;
  SessionFixture session_;
  std::vector<SessionEvent> log_;
  std::vector<Disk> history_;
  Devices said_;
  RingVector opened_;
  uint32_t refusals_ = 0;
};

class CrashTest : public testing::TestWithParam<Profile> {};

// The coordinator dies after each write, and a device after some: nobody notices.
TEST_P(CrashTest, AfterEveryWriteTheSessionGoesOnFromTheLog) {
  uint32_t finished = 0;
  uint32_t sessions = 0;
  for (uint32_t count = 3; count <= 30; count += count < 8 ? 1 : 11) {
    for (const uint32_t dropout : {0u, 10u}) {
      CrashingSession session(GetParam(), count, 1000 * count + dropout);
      uint32_t write = 0;
      session.Run(dropout, [&] {
        session.RestartWith(session.disk());
        session.RestartDevice(write++ % count);
      });
      session.Check();
      EXPECT_TRUE(dropout > 0 || session.finished()) << count;
      EXPECT_EQ(session.refusals(), 0u);
      finished += session.finished() ? 1 : 0;
      ++sessions;
    }
  }
  EXPECT_GT(finished, sessions / 2);
}

// The disk loses what came after any one write, while devices have moved on: what they said stands, and other devices
// drop out the second time. The coordinator may fail now; it may not learn anything else than a sum.
TEST_P(CrashTest, FromEveryPrefixOfTheLogTheSumIsRightOrTheCellFails) {
  uint32_t finished = 0;
  uint32_t refused = 0;
  for (const uint32_t count : {3u, 5u, 8u}) {
    for (uint64_t seed = 1; seed <= 2; ++seed) {
      CrashingSession session(GetParam(), count, seed);
      session.Run(seed == 1 ? 0 : 5, [] {});
      session.Check();
      const std::vector<CrashingSession::Disk> history = session.history();
      const CrashingSession::Devices devices = session.SaveDevices();
      ASSERT_GE(history.size(), 3u);
      for (const CrashingSession::Disk& disk : history) {
        const uint32_t refused_before = session.refusals();
        session.LoadDevices(devices);
        session.RestartWith(disk);
        session.Run(10, [] {});
        session.Check();
        finished += session.finished() ? 1 : 0;
        refused += session.refusals() - refused_before;
      }
    }
  }
  EXPECT_GT(finished, 0u);
  EXPECT_GT(refused, 0u);  // of a second view, say
}

INSTANTIATE_TEST_SUITE_P(Profiles, CrashTest, testing::Values(Profile::kHonestButCurious, Profile::kMalicious));

}  // namespace
}  // namespace fleetune::secagg
