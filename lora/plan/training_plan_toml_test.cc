#include <bit>
#include <cmath>

#include "base/random.h"
#include "gtest/gtest.h"
#include "lora/plan/training_plan.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

TrainingPlan SomePlan() {
  TrainingPlan plan;
  plan.task = "chat";
  plan.base.bytes.fill(0xab);
  plan.targets = {Projection::kV, Projection::kQ};
  plan.seed = 42;
  plan.data_tag = "notes";
  return plan;
}

constexpr char kGolden[] = R"(task = "chat"
base = "abababababababababababababababababababababababababababababababab"
targets = ["v", "q"]
rank = 8
alpha = 16.0
rank_stabilized = false
seed = "0x2a"
trained = "b"
smallest_rank = 0
data_tag = "notes"
min_examples = 1

[train]
optimizer = "adamw"
learning_rate = 0.001
lora_plus_ratio = 1.0
weight_decay = 0.0
beta1 = 0.9
beta2 = 0.999
epsilon = 1e-08
momentum = 0.9
dpo_beta = 0.1
clip_gradient_norm = 1.0
dropout = 0.0
proximal = 0.0
control_variates = false
schedule = "constant"
warmup_steps = 0
steps = 0
epochs = 1.0
sequence_length = 256
micro_batch = 1
accumulate = 1
held_out_share = 0.0
patience = 0
evaluate_every = 50
seed = "0x1"

[encoding]
clip_norm = 1.0
lane_bits = 16
max_weight = 1.0
max_inputs = 8

[secure]
mode = "semi-honest"
min_cohort = 3
min_survivors = 3
adversarial = 0.1
dropout = 0.1

[privacy]
noise_multiplier = 0.0
delta = 1e-06
device_epsilon_limit = 8.0
rounding_overhead = 0.01
)";

std::string Replaced(const std::string& from, const std::string& to) {
  std::string text = kGolden;
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

// The bytes are signed and kept in audit logs: they must not change by accident.
TEST(TrainingPlanTomlTest, GoldenText) {
  EXPECT_EQ(FormatTrainingPlan(SomePlan()), kGolden);
  const auto plan = ParseTrainingPlan(kGolden);
  ASSERT_THAT(plan, IsOk());
  EXPECT_EQ(*plan, SomePlan());
}

TEST(TrainingPlanTomlTest, EveryPlanComesBackWithTheSameBits) {
  SplitMix64 random(1);
  for (int i = 0; i < 2000; ++i) {
    TrainingPlan plan = SomePlan();
    plan.alpha = std::bit_cast<float>(static_cast<uint32_t>(random.Next() % 0x7f800000u));
    if (plan.alpha == 0) continue;
    plan.seed = random.Next();
    plan.rank = static_cast<uint32_t>(1 + random.Below(kMaxAdapterRank));
    plan.trained = static_cast<LoraMethod>(random.Below(3));
    plan.smallest_rank = plan.trained == LoraMethod::kB ? static_cast<uint32_t>(random.Below(plan.rank + 1)) : 0;
    plan.min_examples = 1 + random.Below(kMaxMinExamples);
    plan.train.optimizer = static_cast<OptimizerKind>(random.Below(3));
    plan.rank_stabilized = plan.alpha < 1e30f && random.Below(2) == 0;
    plan.train.lora_plus_ratio = 1000 * random.NextUnit() + 1e-9;
    plan.train.dpo_beta = 100 * random.NextUnit() + 1e-9;
    plan.train.held_out_share = random.NextUnit() / 2;
    plan.train.patience = static_cast<uint32_t>(random.Below(1001));
    plan.train.evaluate_every = static_cast<uint32_t>(1 + random.Below(1000));
    plan.train.momentum = random.NextUnit();
    plan.train.learning_rate = std::ldexp(random.NextUnit() + 0x1p-60, -static_cast<int>(random.Below(300)));
    plan.train.clip_gradient_norm = std::bit_cast<double>(1 + random.Next() % 0x7fefffffffffffffu);
    plan.train.epochs = 1000 * random.NextUnit() + 1e-9;
    plan.train.dropout = random.NextUnit();
    plan.train.proximal = random.NextUnit();
    plan.train.schedule = random.Below(2) == 0 ? Schedule::kConstant : Schedule::kCosine;
    plan.train.seed = random.Next();
    plan.encoding.clip_norm = 1e6 * random.NextUnit() + 1e-9;
    plan.encoding.lane_bits = static_cast<uint32_t>(16 + 8 * random.Below(3));
    plan.encoding.max_inputs = static_cast<uint32_t>(1 + random.Below(kMaxPlanInputs));
    plan.secure.mode = static_cast<SecureMode>(random.Below(3));
    plan.secure.min_cohort = static_cast<uint32_t>(3 + random.Below(100));
    plan.secure.dropout = random.NextUnit() / 2;
    plan.privacy.delta = 1e-3 * random.NextUnit() + 1e-12;
    plan.privacy.device_epsilon_limit = 100 * random.NextUnit() + 1e-9;
    const std::string text = FormatTrainingPlan(plan);
    const auto parsed = ParseTrainingPlan(text);
    ASSERT_THAT(parsed, IsOk()) << text;
    ASSERT_EQ(*parsed, plan) << text;
    ASSERT_EQ(FormatTrainingPlan(*parsed), text);
  }
}

TEST(TrainingPlanTomlTest, RefusesUnknownKeysByNameAndLine) {
  EXPECT_THAT(ParseTrainingPlan(Replaced("rank = 8", "rank = 8\nrnak = 9")),
              HasStatus(StatusCode::kInvalidArgument, "line 5: unknown key rnak"));
  EXPECT_THAT(ParseTrainingPlan(Replaced("beta1", "colour = 1\nbeta1")),
              HasStatus(StatusCode::kInvalidArgument, "line 18: unknown key train.colour"));
  EXPECT_THAT(ParseTrainingPlan(Replaced("[encoding]", "[more]\nx = 1\n[encoding]")),
              HasStatus(StatusCode::kInvalidArgument, "line 39: unknown key more"));
}

TEST(TrainingPlanTomlTest, RefusesEveryMissingLine) {
  const std::string text = kGolden;
  for (size_t start = 0; start < text.size();) {
    const size_t end = text.find('\n', start) + 1;
    if (end - start > 1) {
      EXPECT_THAT(ParseTrainingPlan(text.substr(0, start) + text.substr(end)),
                  HasStatus(StatusCode::kInvalidArgument, ""))
          << text.substr(start, end - start);
    }
    start = end;
  }
  EXPECT_THAT(ParseTrainingPlan(Replaced("beta2 = 0.999\n", "")),
              HasStatus(StatusCode::kInvalidArgument, "train.beta2 is missing"));
  EXPECT_THAT(ParseTrainingPlan(""), HasStatus(StatusCode::kInvalidArgument, "task is missing"));
}

TEST(TrainingPlanTomlTest, RefusesWrongTypes) {
  const std::pair<const char*, const char*> cases[] = {
      {"task = \"chat\"", "task = 1"},
      {"targets = [\"v\", \"q\"]", "targets = \"q\""},
      {"targets = [\"v\", \"q\"]", "targets = [1]"},
      {"targets = [\"v\", \"q\"]", "targets = [\"w\"]"},
      {"rank = 8", "rank = 8.0"},
      {"rank = 8", "rank = -1"},
      {"rank = 8", "rank = 4294967304"},
      {"alpha = 16.0", "alpha = \"16\""},
      {"alpha = 16.0", "alpha = 1e39"},
      {"alpha = 16.0", "alpha = nan"},
      {"seed = \"0x2a\"", "seed = 42"},
      {"seed = \"0x2a\"", "seed = \"0x\""},
      {"seed = \"0x2a\"", "seed = \"42\""},
      {"seed = \"0x2a\"", "seed = \"0x2g\""},
      {"seed = \"0x2a\"", "seed = \"0x10000000000000000\""},
      {"base = \"ab", "base = \"b"},
      {"schedule = \"constant\"", "schedule = \"linear\""},
      {"optimizer = \"adamw\"", "optimizer = \"adam\""},
      {"rank_stabilized = false", "rank_stabilized = 0"},
      {"momentum = 0.9", "momentum = \"0.9\""},
      {"trained = \"b\"", "trained = true"},
      {"trained = \"b\"", "trained = \"a\""},
      {"[encoding]", "[[encoding]]"},
  };
  for (const auto& [from, to] : cases) {
    EXPECT_THAT(ParseTrainingPlan(Replaced(from, to)),
                HasStatus(StatusCode::kInvalidArgument, "line "))
        << to;
  }
}

TEST(TrainingPlanTomlTest, TakesAnIntegerWhereAFloatIsExpected) {
  const auto plan = ParseTrainingPlan(Replaced("alpha = 16.0", "alpha = 16"));
  ASSERT_THAT(plan, IsOk());
  EXPECT_EQ(plan->alpha, 16.0f);
}

TEST(TrainingPlanTomlTest, RefusesValuesOutOfRangeAndBrokenSyntax) {
  EXPECT_THAT(ParseTrainingPlan(Replaced("rank = 8", "rank = 257")),
              HasStatus(StatusCode::kInvalidArgument, "rank"));
  EXPECT_THAT(ParseTrainingPlan(Replaced("rank = 8", "rank = ")),
              HasStatus(StatusCode::kInvalidArgument, "line 4"));
}

// toml++ asserts what it then checks; an assert must not end the program for a peer's typing error.
TEST(TrainingPlanTomlTest, RefusesOddTableHeadersAndDeepKeys) {
  for (const char* text : {"[=", "[[=", "[ \x01", "[.a]", "[a.=]", "[", "[[", "a.=1", "= 1", "a = {=1}", "a = {b.}"}) {
    EXPECT_THAT(ParseTrainingPlan(text), HasStatus(StatusCode::kInvalidArgument, "line 1")) << text;
  }
  EXPECT_THAT(ParseTrainingPlan(std::string_view("[\0]", 3)), HasStatus(StatusCode::kInvalidArgument, "line 1"));
  std::string deep = "a";
  while (deep.size() < kMaxPlanBytes - 8) deep += ".a";
  EXPECT_THAT(ParseTrainingPlan(deep + " = 1"), HasStatus(StatusCode::kInvalidArgument, ""));
}

TEST(TrainingPlanTomlTest, SizeIsLimitedOnBothSides) {
  std::string text = kGolden;
  text += '#' + std::string(kMaxPlanBytes - text.size() - 1, 'x');
  EXPECT_THAT(ParseTrainingPlan(text), IsOk());
  EXPECT_THAT(ParseTrainingPlan(text + "x"), HasStatus(StatusCode::kResourceExhausted, "16384"));
}

TEST(TrainingPlanTomlTest, EveryTruncationIsRefused) {
  const std::string text = kGolden;
  // The last line's newline and ".0" can be missing.
  const size_t complete = text.size() - 3;
  for (size_t size = 0; size < complete; ++size) {
    EXPECT_FALSE(ParseTrainingPlan(text.substr(0, size)).ok()) << size;
  }
}

}  // namespace
}  // namespace fleetune
