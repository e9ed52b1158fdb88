#include <string>

#include "gtest/gtest.h"
#include "lora/plan/training_memory.h"
#include "tests/support/small_fleet.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class FleetCheckInTest : public ::testing::Test {
 protected:
  CheckInAnswer Answer(const std::string& device, const DeviceReport& report = SmallFleet::ReadyReport()) {
    absl::StatusOr<CheckInAnswer> answer = small.fleet->CheckIn(device, report);
    EXPECT_THAT(answer, IsOk());
    return *std::move(answer);
  }
  // Why the device did not get a place; empty if it got one.
  std::string WhyNot(const std::string& device, const DeviceReport& report) {
    const bool invited = Answer(device, report).invitation.has_value();
    const std::string reason = small.fleet->Devices(device)->front().not_invited;
    EXPECT_EQ(invited, reason.empty());
    return reason;
  }

  SmallFleet small;
};

TEST_F(FleetCheckInTest, OffersTheTaskAsASignedPlan) {
  small.AddTask();
  const CheckInAnswer answer = Answer(small.AddDevice());
  ASSERT_EQ(answer.tasks.size(), 1u);
  const OfferedTask& task = answer.tasks.front();
  EXPECT_THAT(ParseTrainingPlan(task.plan), IsOk());
  EXPECT_THAT(
      small.release_key.verify_key().Verify(SignPurpose::kTrainingPlan, AsBytes(task.plan), task.plan_signature),
      IsOk());
  EXPECT_EQ(task.released_version, 0u);
  EXPECT_EQ(task.model_bytes, SmallModel().size_bytes);
  EXPECT_FALSE(answer.invitation.has_value());
}

TEST_F(FleetCheckInTest, OffersOnlyTasksThatConcernTheDevice) {
  std::string toml = SmallTask();
  toml.insert(0, "device_tag = \"kitchen\"\n");
  small.AddTask(toml);
  const std::string lamp = small.AddDevice("lamp");
  const std::string oven = small.AddDevice("oven", {"kitchen"});
  EXPECT_TRUE(Answer(lamp).tasks.empty());
  EXPECT_EQ(Answer(oven).tasks.size(), 1u);
  ASSERT_THAT(small.fleet->PauseTask("ann", "home", true), IsOk());
  EXPECT_TRUE(Answer(oven).tasks.empty());
}

TEST_F(FleetCheckInTest, InvitesWhileThereArePlaces) {
  small.AddTask();
  const std::string round = small.StartRound();
  for (int i = 0; i < 3; ++i) {
    const CheckInAnswer answer = Answer(small.AddDevice());
    ASSERT_TRUE(answer.invitation.has_value());
    EXPECT_EQ(answer.invitation->round, round);
    EXPECT_EQ(answer.invitation->task, "home");
    EXPECT_EQ(answer.invitation->version, 0u);
    EXPECT_EQ(answer.invitation->version_hash, small.fleet->Versions("home")->front().hash);
    EXPECT_EQ(answer.invitation->time_left, seconds(600));
  }
  EXPECT_FALSE(Answer(small.AddDevice()).invitation.has_value());
  EXPECT_EQ(small.fleet->Round(round)->invited, 3u);
}

TEST_F(FleetCheckInTest, TheSameInvitationAgainAlsoAfterACrash) {
  small.AddTask();
  const std::string round = small.StartRound();
  const std::string device = small.AddDevice();
  EXPECT_EQ(small.CheckIn(device), round);
  small.Reopen();
  small.clock.now += seconds(100);
  DeviceReport busy = SmallFleet::ReadyReport();
  busy.ready_to_train = false;  // it is training: that is why
  const CheckInAnswer answer = Answer(device, busy);
  ASSERT_TRUE(answer.invitation.has_value());
  EXPECT_EQ(answer.invitation->time_left, seconds(500));
  EXPECT_EQ(small.fleet->Round(round)->invited, 1u);
}

TEST_F(FleetCheckInTest, NoInvitationOnceTheDeadlineHasPassed) {
  small.AddTask();
  small.StartRound();
  const std::string invited = small.AddDevice();
  EXPECT_NE(small.CheckIn(invited), "");
  small.clock.now += seconds(600);
  EXPECT_EQ(small.CheckIn(invited), "");
  EXPECT_EQ(small.CheckIn(small.AddDevice()), "");
}

TEST_F(FleetCheckInTest, ACountedDeviceIsNotInvitedAgain) {
  small.AddTask();
  const std::string round = small.StartRound();
  const std::string device = small.AddDevice();
  ASSERT_EQ(small.CheckIn(device), round);
  ASSERT_THAT(small.Send(device, round, SmallFleet::Update(0.01f)), IsOk());
  EXPECT_EQ(small.CheckIn(device), "");
}

TEST_F(FleetCheckInTest, ADeviceThatCannotTrainIsNotInvited) {
  std::string task = SmallTask();
  small.AddTask(task.replace(task.find("[round]"), 0, "min_examples = 5\n"));
  small.StartRound();
  const std::string device = small.AddDevice();
  DeviceReport report = SmallFleet::ReadyReport();
  report.ready_to_train = false;
  report.not_ready_reason = "on battery";
  EXPECT_EQ(WhyNot(device, report), "not ready: on battery");
  report = SmallFleet::ReadyReport();
  report.models.clear();
  EXPECT_EQ(WhyNot(device, report), "does not hold the base model small.gguf");
  report = SmallFleet::ReadyReport();
  report.examples = {{"notes", 4}};
  EXPECT_EQ(WhyNot(device, report), "has 4 examples of 5 needed");
  EXPECT_EQ(WhyNot(device, SmallFleet::ReadyReport()), "");
}

TEST_F(FleetCheckInTest, OnlyExamplesOfTheTasksTagCount) {
  std::string toml = SmallTask();
  toml.insert(0, "data_tag = \"mail\"\n");
  small.AddTask(toml);
  small.StartRound();
  EXPECT_EQ(WhyNot(small.AddDevice(), SmallFleet::ReadyReport()), "has 0 examples of 1 needed");
}

TEST_F(FleetCheckInTest, ATaskMustFitTheDevicesMemory) {
  small.AddTask();
  small.StartRound();
  const TaskSpec spec = small.fleet->Tasks("home")->front().spec;
  const BaseModel base = SmallModel();
  const ModelFootprint model = {.file_bytes = base.size_bytes, .sizes = base.sizes, .heads = base.heads};
  const uint64_t needed = EstimateTrainingMemory(model, AdapterOf(spec.plan, model), spec.plan.train, {}).total();
  const std::string device = small.AddDevice();
  DeviceReport report = SmallFleet::ReadyReport();
  report.memory_budget_bytes = needed - 1;
  EXPECT_NE(WhyNot(device, report).find("MB allowed"), std::string::npos);
  report.memory_budget_bytes = needed;
  EXPECT_EQ(WhyNot(device, report), "");
}

TEST_F(FleetCheckInTest, PollsSoonerWhileARoundIsOpen) {
  small.AddTask(SmallTask("poll_seconds = 100\n"));
  const std::string device = small.AddDevice();
  for (int i = 0; i < 50; ++i) {
    const milliseconds idle = Answer(device).next_check_in;
    EXPECT_GE(idle, seconds(80));
    EXPECT_LE(idle, seconds(120));
  }
  small.StartRound();
  for (int i = 0; i < 50; ++i) {
    const milliseconds busy = Answer(device).next_check_in;
    EXPECT_GE(busy, seconds(8));
    EXPECT_LE(busy, seconds(12));
  }
}

TEST_F(FleetCheckInTest, AShortPollIntervalIsKept) {
  small.AddTask(SmallTask("poll_seconds = 1\n"));
  const std::string device = small.AddDevice();
  small.StartRound();
  for (int i = 0; i < 50; ++i) {
    const milliseconds interval = Answer(device).next_check_in;
    EXPECT_GE(interval, milliseconds(800));
    EXPECT_LE(interval, milliseconds(1200));
  }
}

TEST_F(FleetCheckInTest, AReportIsWrittenWhenItChangesAndOnceAMinute) {
  const std::string device = small.AddDevice();
  (void)Answer(device);
  const uint64_t writes = small.faulty.writes;
  small.clock.now += seconds(59);
  (void)Answer(device);
  EXPECT_EQ(small.faulty.writes, writes);
  DeviceReport changed = SmallFleet::ReadyReport();
  changed.profile = "edge_server";
  (void)Answer(device, changed);
  EXPECT_EQ(small.faulty.writes, writes + 1);
  small.clock.now += seconds(60);
  (void)Answer(device, changed);
  EXPECT_EQ(small.faulty.writes, writes + 2);
  small.Reopen();
  EXPECT_EQ(small.fleet->Devices(device)->front().report.profile, "edge_server");
  EXPECT_EQ(small.fleet->Devices(device)->front().last_seen, small.clock.now);
  EXPECT_EQ(small.fleet->Devices(device)->front().examples, 5u);
}

TEST_F(FleetCheckInTest, RefusesReportsOverTheirLimits) {
  DeviceReport report;
  report.models.resize(257);
  EXPECT_THAT(small.fleet->CheckIn(small.AddDevice(), report), HasStatus(absl::StatusCode::kInvalidArgument, "models"));
}

TEST_F(FleetCheckInTest, AnInvitationThatWasNotWrittenWasNotMade) {
  small.AddTask();
  const std::string round = small.StartRound();
  const std::string device = small.AddDevice();
  small.faulty.fault = [](uint64_t) { return WriteFault::kLost; };
  EXPECT_THAT(small.fleet->CheckIn(device, SmallFleet::ReadyReport()), HasStatus(absl::StatusCode::kUnavailable, ""));
  small.faulty.fault = [](uint64_t) { return WriteFault::kNone; };
  EXPECT_EQ(small.fleet->Round(round)->invited, 0u);
  EXPECT_EQ(small.CheckIn(device), round);
}

}  // namespace
}  // namespace fleetune
