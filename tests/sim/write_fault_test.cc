// Every write of a small history fails once, before and after it took effect, with and without a death of the
// coordinator: the history ends as if nothing had happened.

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/small_fleet.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

struct OneFault {
  uint64_t write = UINT64_MAX;  // number of the write that fails
  WriteFault kind = WriteFault::kNone;
  bool coordinator_dies = false;
};

// A coordinator one of whose writes fails, and callers that try again.
class FaultyHistory {
 public:
  explicit FaultyHistory(const OneFault& fault) {
    small.AddTask();
    for (int i = 0; i < 4; ++i) devices.push_back(small.AddDevice());
    small.faulty.writes = 0;
    small.faulty.fault = [this, fault](uint64_t write) {
      if (write != fault.write) return WriteFault::kNone;
      failed = true;
      dies = fault.coordinator_dies;
      return fault.kind;
    };
  }

  // As a caller that hears nothing from a dead coordinator, and tries until it hears OK.
  void Insist(absl::FunctionRef<absl::Status()> call) {
    for (int attempt = 0; attempt < 3; ++attempt) {
      const absl::Status status = call();
      const bool heard = !dies;
      if (dies) small.Reopen();
      dies = false;
      if (heard && status.ok()) return;
    }
    FAIL() << "three attempts failed";
  }

  void SendUpdate(size_t device, float value) {
    const Bytes update = SmallFleet::Update(value);
    Insist([&] { return small.Send(devices[device], "home-1", update); });
  }

  // Three updates of four devices, one of which declines; then a tick, a rollback and a revocation.
  void Run() {
    Insist([&] {
      const absl::Status status = small.fleet->StartRound("ann", "home").status();
      const auto tasks = small.fleet->Tasks("home");
      return tasks.ok() && tasks->front().open_round == "home-1" ? absl::OkStatus() : status;
    });
    for (size_t i = 0; i < 3; ++i) Insist([&] { return CheckInFor(i); });
    Insist([&] { return small.fleet->DeclineRound(devices[1], "home-1", "on battery"); });
    Insist([&] { return CheckInFor(3); });
    SendUpdate(0, 0.01f);
    SendUpdate(2, 0.02f);
    SendUpdate(3, 0.06f);
    Insist([&] { return small.fleet->Tick(); });
    Insist([&] {
      const absl::Status status = small.fleet->Rollback("ann", "home", 0).status();
      const auto tasks = small.fleet->Tasks("home");
      return tasks.ok() && tasks->front().head_version == 0 ? absl::OkStatus() : status;
    });
    Insist([&] { return small.fleet->RevokeDevice("ann", devices[1]).status(); });
  }

  absl::Status CheckInFor(size_t device) {
    const absl::StatusOr<CheckInAnswer> answer = small.fleet->CheckIn(devices[device], SmallFleet::ReadyReport());
    if (!answer.ok()) return answer.status();
    return answer->invitation ? absl::OkStatus() : absl::InternalError("not invited");
  }

  SmallFleet small;
  std::vector<std::string> devices;
  bool failed = false;
  bool dies = false;
};

void ExpectTheHistory(SmallFleet& small, const std::vector<std::string>& devices, const Digest& version_hash) {
  const RoundView view = *small.fleet->Round("home-1");
  EXPECT_EQ(view.state, "done");
  EXPECT_EQ(view.invited, 4u);
  EXPECT_EQ(view.counted, 3u);
  EXPECT_EQ(view.declined, 1u);
  ASSERT_EQ(small.fleet->Versions("home")->size(), 2u);
  EXPECT_EQ(small.fleet->Versions("home")->back().hash, version_hash);
  const TaskView task = small.fleet->Tasks("home")->front();
  EXPECT_EQ(task.head_version, 0u);
  EXPECT_EQ(task.rounds_finished, 1u);
  for (const size_t i : {0u, 2u, 3u}) EXPECT_EQ(small.fleet->Devices(devices[i])->front().rounds_counted, 1u);
  EXPECT_FALSE(small.fleet->CheckDevice(devices[1]).ok());
  EXPECT_TRUE(small.memory.tables().sums.empty());
  EXPECT_TRUE(small.memory.tables().uploads.empty());
  EXPECT_TRUE(small.memory.tables().chunks.empty());
  EXPECT_TRUE(small.fleet->Audit(0, 1000)->chain_intact);
}

TEST(WriteFaultTest, EveryWriteMayFailInEveryWay) {
  FaultyHistory untroubled({});
  untroubled.Run();
  const Digest hash = untroubled.small.fleet->Versions("home")->back().hash;
  const uint64_t writes = untroubled.small.faulty.writes;
  ASSERT_GE(writes, 15u);
  ExpectTheHistory(untroubled.small, untroubled.devices, hash);
  for (uint64_t write = 0; write < writes; ++write) {
    for (const WriteFault kind : {WriteFault::kLost, WriteFault::kUncertain}) {
      for (const bool dies : {false, true}) {
        SCOPED_TRACE(testing::Message() << "write " << write << (kind == WriteFault::kLost ? " lost" : " uncertain")
                                        << (dies ? ", coordinator dies" : ""));
        FaultyHistory history({.write = write, .kind = kind, .coordinator_dies = dies});
        history.Run();
        EXPECT_TRUE(history.failed);
        ExpectTheHistory(history.small, history.devices, hash);
        if (HasFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace fleetune
