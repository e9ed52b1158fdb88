#include "lora/plan/training_plan.h"

#include <limits>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

TrainingPlan ValidPlan() {
  TrainingPlan plan;
  plan.task = "chat";
  plan.targets = {Projection::kQ, Projection::kV};
  return plan;
}

// Both ends of a field's range are taken, what lies just outside is refused under its name.
template <typename T, typename Field>
void ExpectRange(const char* name, T& object, Field T::*field, std::vector<Field> inside,
                 std::vector<Field> outside) {
  const T valid = object;
  for (const Field& value : inside) {
    object = valid;
    object.*field = value;
    EXPECT_THAT(Validate(object), IsOk()) << name << " " << value;
  }
  for (const Field& value : outside) {
    object = valid;
    object.*field = value;
    EXPECT_THAT(Validate(object), HasStatus(StatusCode::kInvalidArgument, name)) << value;
  }
  object = valid;
}

constexpr double kTiny = std::numeric_limits<double>::denorm_min();
constexpr double kBelowOne = 1 - 0x1p-53;
constexpr double kAboveOne = 1 + 0x1p-52;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(TrainOptionsTest, DefaultsAreValid) { EXPECT_THAT(Validate(TrainOptions{}), IsOk()); }

TEST(TrainOptionsTest, FloatsAreLimitedOnBothSides) {
  TrainOptions options;
  using O = TrainOptions;
  ExpectRange<O, double>("learning_rate", options, &O::learning_rate, {kTiny, 1}, {0, kAboveOne, kNan});
  ExpectRange<O, double>("lora_plus_ratio", options, &O::lora_plus_ratio, {kTiny, 1000}, {0, 1000.0001, kNan});
  ExpectRange<O, double>("weight_decay", options, &O::weight_decay, {0, 1}, {-kTiny, kAboveOne, kNan});
  ExpectRange<O, double>("beta1", options, &O::beta1, {0, kBelowOne}, {-kTiny, 1, kNan});
  ExpectRange<O, double>("beta2", options, &O::beta2, {0, kBelowOne}, {-kTiny, 1, kNan});
  ExpectRange<O, double>("epsilon", options, &O::epsilon, {kTiny, 1}, {0, kAboveOne, kNan});
  ExpectRange<O, double>("dpo_beta", options, &O::dpo_beta, {kTiny, 100}, {0, 100.0001, kNan});
  ExpectRange<O, double>("held_out_share", options, &O::held_out_share, {0, 0.5}, {-kTiny, 0.5 + 0x1p-52, kNan});
  ExpectRange<O, double>("momentum", options, &O::momentum, {0, kBelowOne}, {-kTiny, 1, kNan});
  ExpectRange<O, double>("clip_gradient_norm", options, &O::clip_gradient_norm, {kTiny, 1e300},
                         {0, -1, kInf, kNan});
  ExpectRange<O, double>("dropout", options, &O::dropout, {0, kBelowOne}, {-kTiny, 1, kNan});
  ExpectRange<O, double>("proximal", options, &O::proximal, {0, 1000}, {-kTiny, 1000.5, kNan});
  ExpectRange<O, double>("epochs", options, &O::epochs, {kTiny, 1000}, {0, 1000.0001, kNan});
}

TEST(TrainOptionsTest, CountsAreLimitedOnBothSides) {
  TrainOptions options;
  using O = TrainOptions;
  ExpectRange<O, uint32_t>("warmup_steps", options, &O::warmup_steps, {0, 100'000}, {100'001});
  ExpectRange<O, uint32_t>("steps", options, &O::steps, {0, 1'000'000}, {1'000'001});
  ExpectRange<O, uint32_t>("sequence_length", options, &O::sequence_length, {8, 32'768}, {7, 32'769});
  ExpectRange<O, uint32_t>("patience", options, &O::patience, {0, 1000}, {1001});
  ExpectRange<O, uint32_t>("evaluate_every", options, &O::evaluate_every, {1, 1'000'000}, {0, 1'000'001});
  ExpectRange<O, uint32_t>("micro_batch", options, &O::micro_batch, {1, 256}, {0, 257});
  ExpectRange<O, uint32_t>("accumulate", options, &O::accumulate, {1, 1024}, {0, 1025});
  options.schedule = static_cast<Schedule>(9);
  EXPECT_THAT(Validate(options), HasStatus(StatusCode::kInvalidArgument, "schedule"));
  options = {.optimizer = static_cast<OptimizerKind>(3)};
  EXPECT_THAT(Validate(options), HasStatus(StatusCode::kInvalidArgument, "optimizer"));
}

TEST(TrainOptionsTest, TheMessageTellsTheRange) {
  TrainOptions options;
  options.dropout = 1;
  EXPECT_THAT(Validate(options), HasStatus(StatusCode::kInvalidArgument,
                                           "dropout: expected a number in [0, 1), got 1"));
}

TEST(TrainingPlanTest, FieldsAreLimitedOnBothSides) {
  TrainingPlan plan = ValidPlan();
  using P = TrainingPlan;
  EXPECT_THAT(Validate(plan), IsOk());
  ExpectRange<P, uint32_t>("rank", plan, &P::rank, {1, kMaxAdapterRank}, {0, kMaxAdapterRank + 1});
  ExpectRange<P, float>("alpha", plan, &P::alpha, {1e-30f, 1e30f},
                        {0, -1, std::numeric_limits<float>::infinity()});
  ExpectRange<P, uint64_t>("min_examples", plan, &P::min_examples, {1, kMaxMinExamples},
                           {0, kMaxMinExamples + 1});
  ExpectRange<P, std::string>("task", plan, &P::task, {"a", "a-9", std::string(kMaxTaskNameBytes, 'z')},
                              {"", "A", "a b", "a_b", "\xc3\xa4", std::string(kMaxTaskNameBytes + 1, 'z')});
  ExpectRange<P, std::string>("data_tag", plan, &P::data_tag, {"", "home #1", std::string(64, 'z')},
                              {"a\"b", "a\\b", "a\nb", "\x7f", "\xc3\xa4", std::string(65, 'z')});
}

TEST(TrainingPlanTest, RankStabilizedAdaptersAreScaledByTheRoot) {
  TrainingPlan plan = ValidPlan();
  plan.rank = 64;
  plan.alpha = 16;
  EXPECT_EQ(AdapterOptionsOf(plan).alpha, 16.0f);
  plan.rank_stabilized = true;
  EXPECT_EQ(AdapterOptionsOf(plan).alpha, 128.0f);  // 128 / 64 is 16 / sqrt(64)
  EXPECT_EQ(AdapterOptionsOf(plan).rank, 64u);
  EXPECT_EQ(AdapterOptionsOf(plan).targets, plan.targets);
  plan.alpha = 1e38f;
  EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "alpha"));
}

TEST(TrainingPlanTest, RefusesBadTargets) {
  TrainingPlan plan = ValidPlan();
  plan.targets = {};
  EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "targets"));
  plan.targets = {Projection::kQ, Projection::kUp, Projection::kQ};
  EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "q is named twice"));
  plan.targets = {static_cast<Projection>(7)};
  EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "7 is no projection"));
}

TEST(TrainingPlanTest, SecureAggregationIsLimitedOnBothSides) {
  TrainingPlan plan = ValidPlan();
  plan.secure = {.min_cohort = 4096, .min_survivors = 4096, .adversarial = 0, .dropout = 0.49};
  EXPECT_THAT(Validate(plan), IsOk());
  plan.secure = {.min_cohort = 2};
  EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "min_cohort"));
  plan.secure = {.min_cohort = 5, .min_survivors = 6};
  EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "min_survivors"));
  plan.secure = {.adversarial = 0.5};
  EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "adversarial"));
  plan.secure = {.dropout = -0.1};
  EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "dropout"));
  plan.secure = {.mode = SecureMode::kOff, .min_cohort = 0};  // not looked at
  EXPECT_THAT(Validate(plan), IsOk());
}

TEST(TrainingPlanTest, EncodingIsLimitedOnBothSides) {
  TrainingPlan plan = ValidPlan();
  for (const double value : {kTiny, 1e6}) {
    plan.encoding = {.clip_norm = value, .max_weight = value};
    EXPECT_THAT(Validate(plan), IsOk());
  }
  for (const double value : {0.0, 1e6 + 1, kNan}) {
    plan.encoding = {.clip_norm = value};
    EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "clip_norm"));
    plan.encoding = {.max_weight = value};
    EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "max_weight"));
  }
  for (const uint32_t bits : {16u, 24u, 32u}) {
    plan.encoding = {.lane_bits = bits};
    EXPECT_THAT(Validate(plan), IsOk());
  }
  for (const uint32_t bits : {0u, 8u, 20u, 33u}) {
    plan.encoding = {.lane_bits = bits};
    EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "lane_bits"));
  }
  for (const uint32_t inputs : {0u, kMaxPlanInputs + 1}) {
    plan.encoding = {.max_inputs = inputs};
    EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "max_inputs"));
  }
  plan = ValidPlan();
  plan.train.steps = 1'000'001;
  EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "steps"));
}

}  // namespace
}  // namespace fleetune
