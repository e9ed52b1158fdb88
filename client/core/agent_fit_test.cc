#include "client/core/agent_test_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

using agent_fixture::CallTo;
using agent_fixture::DigestOf;
using agent_fixture::GoodConditions;
using agent_fixture::PlanOf;
using agent_fixture::TaskOf;
using std::chrono::seconds;
using ::testing::HasSubstr;

// What a device declines because it cannot do it.

TEST_F(AgentTest, TaskThatDoesNotFitIsDeclinedWithWhatWouldFit) {
  DeviceConditions small = GoodConditions();
  small.memory_bytes = 170'000'000;  // less than the trainer's program alone takes
  Apply(ConditionsChanged{small});
  CheckIn(CallTo("r1", 0));
  Examine();
  EXPECT_THAT(Expect<TellDecline>().notice.reason, HasSubstr("170 MB allowed"));
  EXPECT_THAT(Notes(), HasSubstr("declined round r1"));
}

TEST_F(AgentTest, SaysThatATaskDoesNotFitBeforeItIsInvited) {
  DeviceConditions small = GoodConditions();
  small.memory_bytes = 170'000'000;  // less than the trainer's program alone takes
  Apply(ConditionsChanged{small});
  CheckIn(std::nullopt);
  Examine();
  EXPECT_THAT(::testing::PrintToString(decision_.remarks), HasSubstr("task t does not fit this device: needs"));
  Expect<BringAdapter>();  // it can answer with it all the same
}

TEST_F(AgentTest, ModelLargerThanTheBudgetIsNotEvenFetched) {
  DeviceConditions small = GoodConditions();
  small.memory_bytes = 999'999;
  Apply(ConditionsChanged{small});
  Apply(ModelLost{DigestOf(0xba)});
  CheckIn(CallTo("r1", 0));
  EXPECT_THAT(Expect<TellDecline>().notice.reason, HasSubstr("base model alone"));
  Apply(DeclineHeard{});
  Expect<WaitUntil>();
}

TEST_F(AgentTest, TooFewExamplesAreDeclined) {
  CheckIn(CallTo("r1", 0));
  Examine(0);
  EXPECT_THAT(Expect<TellDecline>().notice.reason, HasSubstr("0 examples here, the task asks for at least 1"));
}

TEST_F(AgentTest, TrainsTheRanksThatItMayAndDeclinesATaskOfMore) {
  AgentOptions options;
  options.largest_rank = 3;
  TrainingPlan plan = PlanOf("t");  // of rank 4
  for (const uint32_t smallest : {0u, 1u, 2u, 4u}) {
    Restart({}, {}, options);
    plan.smallest_rank = smallest;
    Expect<CheckInNow>();
    Apply(CheckInAnswered{
        .next_check_in = seconds(30), .tasks = {TaskOf(plan, 0)}, .invitation = CallTo("r" + std::to_string(smallest), 0)});
    if (smallest == 1 || smallest == 2) {
      BringAndExamine();
      EXPECT_EQ(Expect<TrainRound>().ranks, 2u);
    } else {
      Examine();
      EXPECT_THAT(Expect<TellDecline>().notice.reason,
                  HasSubstr("the task asks for at least rank 4, this device trains up to 3"));
    }
  }
}

}  // namespace
}  // namespace fleetune
