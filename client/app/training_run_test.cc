#include "client/app/training_run.h"

#include <chrono>
#include <string>
#include <vector>

#include "client/app/payload_files.h"
#include "client/data/checkpoint_files.h"
#include "client/data/control_files.h"
#include "client/trainer/trainer_script.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::chrono::milliseconds kLong{60'000};  // never waited for in a test that passes

Adapter TinyAdapter() {
  BaseSizes sizes;
  sizes.layers = 1;
  sizes.projections.fill({.in = 2, .out = 2});
  const AdapterSpec spec = *AdapterSpec::Create({.rank = 1, .alpha = 1, .targets = {Projection::kQ}}, sizes);
  return *Adapter::Create(spec, std::vector<float>(2, 0.5f), std::vector<float>(2, 0.0f));
}

// A device whose trainer is a script.
class TrainingRunTest : public testing::Test {
 protected:
  // Of a trainer that says `messages`, then does `after`.
  std::unique_ptr<TrainingRun> Start(const std::vector<JobMessage>& messages, const std::string& after,
                                     bool controlled = false) {
    TrainRound order;
    order.order.round = "t-1";
    order.plan.task = "t";
    order.plan.train.control_variates = controlled;
    order.plan.encoding.lane_bits = 32;
    order.plan.rank = 1;
    order.memory_bytes = 300'000'000;
    EXPECT_THAT(checkpoints_.Begin("t-1"), IsOk());
    auto run = TrainingRun::Start({.order = order,
                                   .plan_text = "p",
                                   .model_path = "m",
                                   .before = TinyAdapter(),
                                   .records = {"r"},
                                   .trainer = TrainerScript(device_.path(), messages, after),
                                   .control = control_},
                                  {.payloads = &payloads_,
                                   .checkpoints = &checkpoints_,
                                   .random = &random_,
                                   .controls = &controls_});
    EXPECT_THAT(run, IsOk());
    return *std::move(run);
  }

  static absl::Status FailureOf(TrainingRun& run) {
    std::optional<AgentEvent> end;
    while (!end.has_value()) end = run.Poll(kLong);
    const auto* failed = std::get_if<AttemptFailed>(&*end);
    EXPECT_NE(failed, nullptr);
    return failed == nullptr ? absl::OkStatus() : failed->status;
  }

  const TempFolder device_;
  const SystemClock clock_;
  ExampleStore examples_ = *ExampleStore::Open(device_.path(), clock_);
  CheckpointFiles checkpoints_{device_.path(), &examples_};
  ControlFiles controls_{device_.path(), &examples_};
  OwnControl control_;  // of this device
  PayloadFiles payloads_{device_.path() + "/uploads", Secret32()};
  SplitMix64 random_{1};
};

constexpr char kWait[] = "exec sleep 1000";

TEST_F(TrainingRunTest, CheckpointsAreKeptForTheNextAttempt) {
  const auto run = Start({TrainingBegun{}, TrainingCheckpoint{.step = 20, .state = {1, 2}},
                          TrainingCheckpoint{.step = 40, .state = {3, 4}}, TrainingPaused{.step = 40}},
                         "exit 7");
  const absl::Status end = FailureOf(*run);
  EXPECT_THAT(end, HasStatus(absl::StatusCode::kUnavailable, "exit code 7"));
  EXPECT_TRUE(run->TakeKept());
  EXPECT_FALSE(run->TakeKept());
  EXPECT_FALSE(run->paused());  // nobody asked for it
  const auto kept = checkpoints_.Begin("t-1");
  ASSERT_THAT(kept, IsOk());
  EXPECT_EQ(*kept, (Bytes{3, 4}));
}

TEST_F(TrainingRunTest, WhatTheTrainerBeganWithIsNews) {
  const auto run = Start({TrainingBegun{.step = 40, .not_used = ""}, TrainingBegun{.step = 0, .not_used = "of another"},
                          TrainingProgress{.step = 41, .steps = 100, .loss = 2, .tokens = 9}},
                         "exit 0");
  (void)FailureOf(*run);
  EXPECT_THAT(run->TakeNews(),
              ElementsAre(HasSubstr("goes on from the checkpoint after step 40"), HasSubstr("not used: of another")));
  EXPECT_EQ(run->progress().step, 41u);
}

TEST_F(TrainingRunTest, ExamplesThatArePurgedEndTheirTraining) {
  const auto purged = Start({TrainingBegun{}, TrainingCheckpoint{.step = 20, .state = {1}}}, kWait);
  ASSERT_THAT(examples_.Purge(), IsOk());
  EXPECT_THAT(FailureOf(*purged), HasStatus(absl::StatusCode::kFailedPrecondition, "were destroyed"));
}

TEST_F(TrainingRunTest, ItIsPausedWhenTheTrainerSaysSo) {
  const auto held = Start({TrainingPaused{.step = 3}}, kWait);
  EXPECT_FALSE(held->paused());
  held->Hold(true);
  EXPECT_FALSE(held->paused());  // not yet
  while (!held->paused()) ASSERT_FALSE(held->Poll(kLong).has_value());
  EXPECT_THAT(held->TakeNews(), ElementsAre(HasSubstr("pauses after step 3")));
  held->Hold(false);
  EXPECT_FALSE(held->paused());
}

// As a trainer does that has no memory left and cannot say so, or is denied it by a library that aborts.
TEST_F(TrainingRunTest, DeathsAreToldWithTheirMemory) {
  const auto want = Start({TrainingBegun{}}, "exit 97");
  const absl::Status short_of_memory = FailureOf(*want);
  EXPECT_THAT(short_of_memory, HasStatus(absl::StatusCode::kResourceExhausted, "died for want of memory"));
  EXPECT_THAT(short_of_memory, HasStatus(absl::StatusCode::kResourceExhausted, "300 MB of its own were allowed"));
  for (const auto& [name, words] : {std::pair("ABRT", "signal 6 (Aborted)"), std::pair("SEGV", "signal 11 (Segm")}) {
    const auto run = Start({TrainingBegun{}}, std::string("kill -s ") + name + " $$");
    const absl::Status status = FailureOf(*run);
    EXPECT_THAT(status, HasStatus(absl::StatusCode::kUnavailable, words));
    EXPECT_THAT(status, HasStatus(absl::StatusCode::kUnavailable, "300 MB of its own were allowed"));
  }
}

const ControlledTask kTask{.task = "t", .base = Digest{}, .a_size = 2, .b_size = 2};

// The new control variates lie here before there is an update, and are not this device's until it is counted.
TEST_F(TrainingRunTest, AnUpdateComesWithWhatItProposes) {
  control_ = *controls_.Begin(kTask);
  const auto run = Start({TrainingBegun{}, TrainingDone{.b = {0.5f, 1}, .examples = 3, .mean_gradient = {2, -1}}}, "exit 0",
                         /*controlled=*/true);
  std::optional<AgentEvent> end;
  while (!end.has_value()) end = run->Poll(kLong);
  ASSERT_TRUE(std::holds_alternative<UpdateEncoded>(*end)) << std::get<AttemptFailed>(*end).status;
  EXPECT_EQ(std::get<UpdateEncoded>(*end).parameters, 2u);
  EXPECT_THAT(payloads_.Get(std::get<UpdateEncoded>(*end).sha256), IsOk());
  EXPECT_EQ(*controls_.Begin(kTask), OwnControl{});
  ASSERT_THAT(controls_.Accept("t", "t-1"), IsOk());
  // The norm of (0.5, 1, 2, -1) is over the default clip norm: all is scaled to it.
  const auto shrink = static_cast<float>(TrainingPlan{}.encoding.clip_norm / 2.5);
  ASSERT_LT(shrink, 1);
  const OwnControl moved = *controls_.Begin(kTask);
  EXPECT_THAT(moved.b, ElementsAre(testing::FloatEq(2 * shrink), testing::FloatEq(-shrink)));
}

TEST_F(TrainingRunTest, AResultWithoutAMeanGradientIsNoUpdate) {
  control_ = *controls_.Begin(kTask);
  const auto run = Start({TrainingDone{.b = {0.5f, 1}, .examples = 3}}, "exit 0", /*controlled=*/true);
  EXPECT_THAT(FailureOf(*run), HasStatus(absl::StatusCode::kInvalidArgument, "mean gradient: expected 2 values, got 0"));
}

TEST_F(TrainingRunTest, NothingIsProposedOfExamplesThatArePurged) {
  control_ = *controls_.Begin(kTask);
  const auto run = Start({TrainingDone{.b = {0.5f, 1}, .examples = 3, .mean_gradient = {2, -1}}}, "exit 0",
                         /*controlled=*/true);
  ASSERT_THAT(examples_.Purge(), IsOk());
  EXPECT_THAT(FailureOf(*run), HasStatus(absl::StatusCode::kFailedPrecondition, "were destroyed"));
}

}  // namespace
}  // namespace fleetune
