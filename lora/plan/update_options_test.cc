#include "lora/plan/update_options.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using testing::ElementsAre;

TrainingPlan PlanOf(uint32_t rank, uint32_t smallest_rank, LoraMethod trained = LoraMethod::kB) {
  TrainingPlan plan;
  plan.task = "t";
  plan.targets = {Projection::kQ, Projection::kV};
  plan.rank = rank;
  plan.smallest_rank = smallest_rank;
  plan.trained = trained;
  return plan;
}

AdapterSpec SpecOf(const TrainingPlan& plan) {
  BaseSizes base{.layers = 2};
  base.projections[static_cast<size_t>(Projection::kQ)] = {.in = 5, .out = 3};
  base.projections[static_cast<size_t>(Projection::kV)] = {.in = 7, .out = 4};
  return *AdapterSpec::Create(AdapterOptionsOf(plan), base);
}

TEST(UpdateOptionsTest, HoldWhatIsTrainedAgainstTheVersion) {
  for (const LoraMethod method : {LoraMethod::kB, LoraMethod::kAlternating, LoraMethod::kFactors}) {
    const TrainingPlan plan = PlanOf(2, 0, method);
    const AdapterSpec spec = SpecOf(plan);
    for (const uint32_t version : {0u, 1u, 6u, 7u}) {
      const EncodingOptions options = UpdateOptions({.plan = plan, .spec = spec, .from_version = version, .round = "r"}).value();
      const uint64_t expected = method == LoraMethod::kFactors                            ? spec.a_size() + spec.b_size()
                                : method == LoraMethod::kAlternating && version % 2 == 1 ? spec.a_size()
                                                                                         : spec.b_size();
      EXPECT_EQ(options.values, expected);
      EXPECT_LE(options.values, MostTrained(method, spec.a_size(), spec.b_size()));
      EXPECT_TRUE(options.groups.empty());
      EXPECT_EQ(UpdateElements(plan, options.values).value(), RingLength(options));
      EXPECT_THAT(Validate(options), IsOk());
    }
  }
}

TEST(UpdateOptionsTest, RanksThatMayBeLeftOutAreGroups) {
  const TrainingPlan plan = PlanOf(7, 2);
  const AdapterSpec spec = SpecOf(plan);
  const EncodingOptions options = UpdateOptions({.plan = plan, .spec = spec, .from_version = 0, .round = "r"}).value();
  ASSERT_THAT(Validate(options), IsOk());
  EXPECT_EQ(GroupCount(options), 3u);
  EXPECT_EQ(UpdateElements(plan, options.values).value(), RingLength(options));
  std::vector<uint64_t> lengths;
  std::vector<uint32_t> groups;
  for (const GroupRun& run : options.groups) {
    lengths.push_back(run.length);
    groups.push_back(run.group);
  }
  // Of q with 3 outputs and v with 4, in two layers: ranks 0-1, 2-3, 4-6.
  EXPECT_THAT(lengths, ElementsAre(6, 6, 9, 8, 8, 12, 6, 6, 9, 8, 8, 12));
  EXPECT_THAT(groups, ElementsAre(0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2));
}

TEST(RankGroupsTest, DoubleFromTheSmallestRank) {
  EXPECT_THAT(RankGroupEnds(PlanOf(8, 0)), ElementsAre(8));
  EXPECT_THAT(RankGroupEnds(PlanOf(8, 8)), ElementsAre(8));
  EXPECT_THAT(RankGroupEnds(PlanOf(8, 1)), ElementsAre(1, 2, 4, 8));
  EXPECT_THAT(RankGroupEnds(PlanOf(8, 3)), ElementsAre(3, 6, 8));
  EXPECT_EQ(RankGroupEnds(PlanOf(kMaxAdapterRank, 1)).size(), 9u);
}

TEST(RankGroupsTest, ADeviceTrainsWholeGroups) {
  const TrainingPlan plan = PlanOf(8, 2);
  const uint32_t expected[] = {8, 0, 2, 2, 4, 4, 4, 4, 8, 8};
  for (uint32_t largest = 0; largest < 10; ++largest) {
    EXPECT_EQ(RanksTrainedBy(plan, largest), expected[largest]) << largest;
  }
  EXPECT_EQ(RanksTrainedBy(PlanOf(8, 0), 7), 0u);
  EXPECT_EQ(TrainedGroups(plan, 0), 0b111u);
  EXPECT_EQ(TrainedGroups(plan, 8), 0b111u);
  EXPECT_EQ(TrainedGroups(plan, 4), 0b011u);
  EXPECT_EQ(TrainedGroups(plan, 2), 0b001u);
}

TEST(TrainingPlanTest, SmallestRankIsLimitedAndOfBAlone) {
  const auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(Validate(PlanOf(8, 8)), IsOk());
  EXPECT_THAT(Validate(PlanOf(8, 9)), HasStatus(kInvalid, "smallest_rank: expected 0 to 8, got 9"));
  EXPECT_THAT(Validate(PlanOf(8, 0, LoraMethod::kAlternating)), IsOk());
  EXPECT_THAT(Validate(PlanOf(8, 4, LoraMethod::kAlternating)), HasStatus(kInvalid, "smallest_rank"));
  EXPECT_THAT(Validate(PlanOf(8, 4, LoraMethod::kFactors)), HasStatus(kInvalid, "smallest_rank"));
  EXPECT_THAT(Validate(PlanOf(8, 0, static_cast<LoraMethod>(3))), HasStatus(kInvalid, "trained"));
}

}  // namespace
}  // namespace fleetune
