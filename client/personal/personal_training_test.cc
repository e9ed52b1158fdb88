#include "client/personal/personal_training.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "client/personal/personal_fixture.h"
#include "client/trainer/trainer_script.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lora/adapter/joined.h"
#include "lora/plan/training_plan.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

PersonalInputs Inputs() {
  return {.settings = {.task = "household", .rank = 2, .data_tag = "notes", .learning_rate = 0.01},
          .task = "household",
          .base = Digest{{1, 2, 3}},
          .model_path = "m",
          .context = 128,
          .version = 7,
          .below = FleetAdapter(),
          .records = std::vector<std::string>(40, R"({"text": "the cat sleeps"})"),
          .held_out_secret = {1, 2},
          .seed = 5,
          .threads = 1,
          .memory_bytes = 300'000'000,
          .now = FromMillis(1'700'000'000'000)};
}

Adapter New(uint64_t seed = 5) {
  return Adapter::Initial(
      *AdapterSpec::Create({.rank = 2, .alpha = 8, .targets = FleetAdapter().spec().targets()}, SmallSizes()), seed);
}

// A trainer's answer: all values moved by one.
TrainingDone Done(double before, double after) {
  const Adapter start = *Joined(New(), FleetAdapter());
  TrainingDone done{.a = {start.a().begin(), start.a().end()},
                    .b = {start.b().begin(), start.b().end()},
                    .examples = 31,
                    .steps = 12,
                    .held_out_before = before,
                    .held_out_after = after};
  for (float& value : done.a) value += 1;
  for (float& value : done.b) value += 1;
  return done;
}

TEST(PersonalTrainingTest, OrdersToTrainWhatIsAboveAlone) {
  const PersonalInputs inputs = Inputs();
  const auto job = PersonalJob(inputs, New());
  ASSERT_THAT(job, IsOk());
  const auto plan = ParseTrainingPlan(job->plan);
  ASSERT_THAT(plan, IsOk());
  const auto spec = AdapterSpec::Create(AdapterOptionsOf(*plan), SmallSizes());
  const Adapter joined = *Joined(New(), inputs.below);
  EXPECT_EQ(*spec, joined.spec());  // to the bits of its scale
  EXPECT_TRUE(std::ranges::equal(job->a, joined.a()));
  EXPECT_TRUE(std::ranges::equal(job->b, joined.b()));
  EXPECT_EQ(job->ranks, 2u);
  EXPECT_EQ(TrainedFactors(plan->trained, job->version), Factors::kBoth);
  EXPECT_EQ(plan->train.sequence_length, 128u);  // no longer than the model reads
  EXPECT_EQ(plan->train.held_out_share, 0.2);
  EXPECT_GT(plan->train.patience, 0u);
  EXPECT_EQ(job->records, inputs.records);
  EXPECT_EQ(job->held_out_secret, inputs.held_out_secret);
  EXPECT_EQ(job->memory_limit_bytes, inputs.memory_bytes);
  EXPECT_TRUE(job->checkpoint.empty());
}

TEST(PersonalTrainingTest, KeepsItsOwnPartAndWhatItIsWorth) {
  const PersonalInputs inputs = Inputs();
  const auto outcome = JudgePersonal(inputs, New(), Done(2.0, 1.5), std::nullopt);
  ASSERT_THAT(outcome, IsOk());
  EXPECT_TRUE(outcome->better);
  EXPECT_EQ(outcome->steps, 12u);
  const PersonalAdapter& personal = outcome->adapter;
  EXPECT_EQ(personal.over_version, 7u);
  EXPECT_EQ(personal.examples, 31u);
  EXPECT_EQ(personal.loss_without, 2.0);
  EXPECT_EQ(personal.loss_with, 1.5);
  EXPECT_EQ(personal.trained_at, inputs.now);
  EXPECT_THAT(personal.b, testing::Each(1.0f));  // of the fleet's B nothing
  for (size_t i = 0; i < personal.a.size(); ++i) EXPECT_EQ(personal.a[i], New().a()[i] + 1);
}

TEST(PersonalTrainingTest, IsBetterThanWithoutAndThanWhatIsThere) {
  struct {
    double before, after;
    std::optional<double> present;
    bool better;
  } cases[] = {{2.0, 1.5, {}, true},  {2.0, 2.0, {}, false}, {2.0, 2.1, {}, false},
               {2.0, 1.5, 1.6, true}, {2.0, 1.5, 1.5, false}, {2.0, 1.5, 1.4, false}};
  for (const auto& one : cases) {
    const auto outcome = JudgePersonal(Inputs(), New(), Done(one.before, one.after), one.present);
    ASSERT_THAT(outcome, IsOk());
    EXPECT_EQ(outcome->better, one.better) << one.before << " " << one.after;
  }
}

TEST(PersonalTrainingTest, WhatCannotBeJudgedIsRefused) {
  TrainingDone unmeasured = Done(2, 1);
  unmeasured.held_out_before = unmeasured.held_out_after = std::nullopt;
  EXPECT_THAT(JudgePersonal(Inputs(), New(), unmeasured, {}),
              HasStatus(absl::StatusCode::kFailedPrecondition, "of 40 examples none is held out"));
  TrainingDone other = Done(2, 1);
  other.b.pop_back();
  EXPECT_THAT(JudgePersonal(Inputs(), New(), other, {}), HasStatus(absl::StatusCode::kInternal, "cannot be used"));
  PersonalInputs large = Inputs();
  large.settings.learning_rate = 2;
  EXPECT_THAT(PersonalJob(large, New()), HasStatus(absl::StatusCode::kInvalidArgument, "learning_rate"));
}

// With a trainer that is a script.
class PersonalRunTest : public testing::Test {
 protected:
  TrainerProcess::Options Saying(const std::vector<JobMessage>& messages, const std::string& after = "exit 0") const {
    return TrainerScript(folder_.path(), messages, after, "echo run >> " + folder_.File("runs"));
  }
  size_t Runs() const {
    std::ifstream runs(folder_.File("runs"));
    return static_cast<size_t>(std::count(std::istreambuf_iterator<char>(runs), {}, '\n'));
  }

  const TempFolder folder_;
  uint32_t told_ = 0;
  const PersonalWatch watch_ = {.stop = [](int) { return false; },
                                .progress = [this](const TrainingProgress& progress) { told_ = progress.step; }};
};

TEST_F(PersonalRunTest, TellsItsProgressAndTheOutcome) {
  const auto outcome = TrainPersonal(
      Inputs(), Saying({TrainingBegun{}, TrainingProgress{.step = 3, .steps = 12, .loss = 2}, Done(2, 1)}), watch_);
  ASSERT_THAT(outcome, IsOk());
  EXPECT_TRUE(outcome->better);
  EXPECT_EQ(told_, 3u);
  EXPECT_EQ(Runs(), 1u);
}

// The script says the same both times: with what is there the loss is 1, and so it is afterwards.
TEST_F(PersonalRunTest, MeasuresWhatIsThereFirst) {
  PersonalInputs inputs = Inputs();
  inputs.present = SomePersonal();
  const auto outcome = TrainPersonal(inputs, Saying({TrainingBegun{}, Done(1, 1)}), watch_);
  ASSERT_THAT(outcome, IsOk());
  EXPECT_EQ(outcome->loss_with_present, 1);
  EXPECT_FALSE(outcome->better);
  EXPECT_EQ(Runs(), 2u);
}

TEST_F(PersonalRunTest, WhatGoesWrongIsSaid) {
  EXPECT_THAT(TrainPersonal(Inputs(), Saying({TrainingFailed{absl::ResourceExhaustedError("no memory")}}), watch_),
              HasStatus(absl::StatusCode::kResourceExhausted, "no memory"));
  EXPECT_THAT(TrainPersonal(Inputs(), Saying({}, "exit 7"), watch_),
              HasStatus(absl::StatusCode::kUnavailable, "exit code 7"));
  PersonalWatch stopped = watch_;
  stopped.stop = [](int) { return true; };
  EXPECT_THAT(TrainPersonal(Inputs(), Saying({}, "exec sleep 1000"), stopped),
              HasStatus(absl::StatusCode::kCancelled, "nothing was changed"));
  PersonalInputs empty = Inputs();
  empty.records.clear();
  EXPECT_THAT(TrainPersonal(empty, Saying({}), watch_),
              HasStatus(absl::StatusCode::kFailedPrecondition, "under the tag notes"));
}

}  // namespace
}  // namespace fleetune
