#include "coordinator/core/task_spec.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

absl::StatusOr<Digest> FindModel(std::string_view name) {
  if (name != "small.gguf") return absl::NotFoundError("no base model is named \"" + std::string(name) + "\"");
  return Digest{.bytes = {1, 2, 3}};
}

absl::StatusOr<TaskSpec> Parse(std::string_view toml) { return ParseTaskSpec(toml, FindModel); }

const std::string kSmallest = "name = \"home\"\nbase = \"small.gguf\"\nsecure_aggregation = \"off\"\n";

TaskSpec ValidSpec() {
  TaskSpec spec;
  spec.plan.task = "home";
  spec.plan.base = *FindModel("small.gguf");
  spec.plan.targets = {Projection::kQ};
  spec.model_name = "small.gguf";
  return spec;
}

TEST(TaskSpecTest, TwoKeysAreEnough) {
  const absl::StatusOr<TaskSpec> spec = Parse("name = \"home\"\nbase = \"small.gguf\"\n");
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->plan.task, "home");
  EXPECT_EQ(spec->plan.base, *FindModel("small.gguf"));
  EXPECT_EQ(spec->plan.targets, (std::vector{Projection::kQ, Projection::kV}));
  EXPECT_EQ(spec->plan.secure.mode, SecureMode::kSemiHonest);
  EXPECT_EQ(spec->fewest_together(), 3u);
  EXPECT_EQ(spec->invited_devices, 8u);
  EXPECT_EQ(spec->poll_interval, std::chrono::seconds(30));
  EXPECT_TRUE(spec->auto_release);
  EXPECT_EQ(spec->plan.train, TrainOptions{});
  EXPECT_EQ(spec->server, ServerOptimizerOptions{});
}

TEST(TaskSpecTest, ReadsEveryKey) {
  const absl::StatusOr<TaskSpec> spec = Parse(R"(
name = "home"
base = "small.gguf"
secure_aggregation = "off"
data_tag = "notes"
device_tag = "kitchen"
auto_release = false
[adapter]
targets = ["gate", "q"]
rank = 4
alpha = 8
seed = 77
trained = "b"
smallest_rank = 2
[training]
learning_rate = 0.01
weight_decay = 0.1
beta1 = 0.8
beta2 = 0.95
epsilon = 1e-6
clip_gradient_norm = 2
dropout = 0.05
proximal = 0.25
schedule = "cosine"
warmup_steps = 5
steps = 20
epochs = 2.0
sequence_length = 64
micro_batch = 2
accumulate = 3
seed = "0xffffffffffffffff"
[update]
clip_norm = 2.0
lane_bits = 24
max_weight = 100
min_examples = 3
[round]
invited = 5
needed = 3
deadline_seconds = 90
linger_seconds = 20
poll_seconds = 2
[server]
optimizer = "fedadam"
learning_rate = 0.5
momentum = 0.0
beta1 = 0.7
beta2 = 0.98
tau = 0.01
)");
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->device_tag, "kitchen");
  EXPECT_FALSE(spec->auto_release);
  const TrainingPlan& plan = spec->plan;
  EXPECT_EQ(plan.data_tag, "notes");
  EXPECT_EQ(plan.rank, 4u);
  EXPECT_EQ(plan.alpha, 8.0f);
  EXPECT_EQ(plan.seed, 77u);
  EXPECT_EQ(plan.min_examples, 3u);
  EXPECT_EQ(plan.train.seed, UINT64_MAX);
  EXPECT_EQ(plan.train.schedule, Schedule::kCosine);
  EXPECT_EQ(plan.train.steps, 20u);
  EXPECT_EQ(plan.train.proximal, 0.25);
  EXPECT_EQ(plan.encoding, (UpdateEncoding{.clip_norm = 2, .lane_bits = 24, .max_weight = 100, .max_inputs = 5}));
  EXPECT_EQ(spec->invited_devices, 5u);
  EXPECT_EQ(spec->needed_updates, 3u);
  EXPECT_EQ(spec->round_deadline, std::chrono::seconds(90));
  EXPECT_EQ(spec->round_linger, std::chrono::seconds(20));
  EXPECT_EQ(spec->poll_interval, std::chrono::seconds(2));
  EXPECT_EQ(spec->server.kind, ServerOptimizerKind::kFedAdam);
  EXPECT_EQ(spec->server.tau, 0.01);

  // And writes every one.
  const absl::StatusOr<TaskSpec> again = Parse(FormatTaskSpec(*spec));
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->plan, spec->plan);
  EXPECT_EQ(again->server, spec->server);
  EXPECT_EQ(FormatTaskSpec(*again), FormatTaskSpec(*spec));
}

TEST(TaskSpecTest, UnknownKeysAreNamedWithTheirLine) {
  EXPECT_THAT(Parse(kSmallest + "colour = 1\n"), HasStatus(kInvalid, "line 4: unknown key colour"));
  EXPECT_THAT(Parse(kSmallest + "[round]\ninvite = 8\n"), HasStatus(kInvalid, "line 5: unknown key round.invite"));
  EXPECT_THAT(Parse(kSmallest + "[adapter]\ndora = true\n"),
              HasStatus(kInvalid, "line 5: adapter.dora: fleets do not train DoRA"));
}

TEST(TaskSpecTest, MissingKeysAreNamed) {
  EXPECT_THAT(Parse(""), HasStatus(kInvalid, "key name is missing"));
  EXPECT_THAT(Parse("name = \"home\"\n"), HasStatus(kInvalid, "key base is missing"));
}

TEST(TaskSpecTest, WrongTypesAreNamedWithTheirLine) {
  EXPECT_THAT(Parse("name = 3\n"), HasStatus(kInvalid, "key base is missing"));
  EXPECT_THAT(Parse("name = 3\nbase = \"small.gguf\"\nsecure_aggregation = \"off\"\n"),
              HasStatus(kInvalid, "line 1: name: expected text"));
  EXPECT_THAT(Parse(kSmallest + "auto_release = 1\n"), HasStatus(kInvalid, "line 4: auto_release: expected true"));
  EXPECT_THAT(Parse(kSmallest + "round = 1\n"), HasStatus(kInvalid, "line 4: round: expected a table"));
  EXPECT_THAT(Parse(kSmallest + "[round]\ninvited = 2.5\n"), HasStatus(kInvalid, "line 5: round.invited"));
  EXPECT_THAT(Parse(kSmallest + "[round]\ninvited = -1\n"), HasStatus(kInvalid, "got -1"));
  EXPECT_THAT(Parse(kSmallest + "[training]\nlearning_rate = \"fast\"\n"), HasStatus(kInvalid, "expected a number"));
  EXPECT_THAT(Parse(kSmallest + "[adapter]\ntargets = \"q\"\n"), HasStatus(kInvalid, "expected a list"));
  EXPECT_THAT(Parse(kSmallest + "[adapter]\ntargets = [\"x\"]\n"), HasStatus(kInvalid, "q, k, v, o"));
  EXPECT_THAT(Parse(kSmallest + "[adapter]\nalpha = 1e300\n"), HasStatus(kInvalid, "32-bit floats"));
  EXPECT_THAT(Parse(kSmallest + "[adapter]\nseed = -1\n"), HasStatus(kInvalid, "adapter.seed"));
  EXPECT_THAT(Parse(kSmallest + "[adapter]\nseed = \"0x\"\n"), HasStatus(kInvalid, "adapter.seed"));
  EXPECT_THAT(Parse(kSmallest + "[server]\noptimizer = \"sgd\"\n"),
              HasStatus(kInvalid, "expected \"fedavg\" or \"fedadam\", got \"sgd\""));
}

TEST(TaskSpecTest, ValuesOutOfRangeAreNamedWithTheirLine) {
  EXPECT_THAT(Parse(kSmallest + "[adapter]\nrank = 0\n"), HasStatus(kInvalid, "line 5: rank: expected 1 to 256"));
  EXPECT_THAT(Parse(kSmallest + "[round]\n\ninvited = 0\n"), HasStatus(kInvalid, "line 6: round.invited"));
  EXPECT_THAT(Parse(kSmallest + "[training]\nlearning_rate = 0.1\n[server]\nlearning_rate = 11.0\n"),
              HasStatus(kInvalid, "line 7: server.learning_rate"));
}

TEST(TaskSpecTest, SecureAggregationIsOffOrOneOfTwo) {
  std::string masked = kSmallest;
  masked.replace(masked.find("off"), 3, "malicious");
  EXPECT_EQ(Parse(masked)->plan.secure.mode, SecureMode::kMalicious);
  masked.replace(masked.find("\"malicious\""), 11, "\"maybe\"");
  EXPECT_THAT(Parse(masked), HasStatus(kInvalid, "expected \"off\" or \"semi-honest\" or \"malicious\""));
}

TEST(TaskSpecTest, TheBaseMustBeKnown) {
  EXPECT_THAT(Parse("name = \"home\"\nbase = \"big.gguf\"\nsecure_aggregation = \"off\"\n"),
              HasStatus(kInvalid, "line 2: base: no base model is named \"big.gguf\""));
}

TEST(TaskSpecTest, RefusesBrokenAndOversizedText) {
  EXPECT_THAT(Parse("name = \"home"), HasStatus(kInvalid, "line 1"));
  const std::string fits = kSmallest + std::string(kMaxTaskTomlBytes - kSmallest.size(), '\n');
  EXPECT_THAT(Parse(fits), IsOk());
  EXPECT_THAT(Parse(fits + "\n"), HasStatus(kInvalid, "65536 bytes"));
}

TEST(TaskSpecTest, RefusesOddTextWithoutEnding) {
  for (const char* text : {"[=", "[[=", "[ \x01", "[.a]", "[a.=]", "[", "[[", "a.=1", "= 1", "a = {=1}", "a = {b.}"}) {
    EXPECT_THAT(Parse(text), HasStatus(kInvalid, "line 1")) << text;
  }
}

TEST(TaskSpecTest, LimitsOfRounds) {
  TaskSpec spec = ValidSpec();
  spec.plan.secure.mode = SecureMode::kOff;
  EXPECT_THAT(Validate(spec), IsOk());
  spec.invited_devices = spec.needed_updates = 1;
  EXPECT_THAT(Validate(spec), IsOk());
  spec.needed_updates = 0;
  EXPECT_THAT(Validate(spec), HasStatus(kInvalid, "round.needed"));
  spec.needed_updates = 2;
  EXPECT_THAT(Validate(spec), HasStatus(kInvalid, "round.needed: expected 1 to 1, got 2"));
  spec = ValidSpec();
  spec.plan.secure.mode = SecureMode::kOff;
  spec.invited_devices = spec.plan.encoding.max_inputs = kMaxSummedInputs;
  EXPECT_THAT(Validate(spec), IsOk());
  spec.invited_devices = kMaxSummedInputs + 1;
  EXPECT_THAT(Validate(spec), HasStatus(kInvalid, "round.invited"));
}

TEST(TaskSpecTest, LimitsOfCells) {
  TaskSpec spec = ValidSpec();
  spec.plan.secure.mode = SecureMode::kSemiHonest;
  EXPECT_THAT(Validate(spec), IsOk());
  spec.cells.largest = 2;
  EXPECT_THAT(Validate(spec), HasStatus(kInvalid, "secure.cell_devices"));
  spec.cells.largest = 3;
  EXPECT_THAT(Validate(spec), IsOk());
  spec.plan.secure.min_cohort = spec.cells.largest = spec.invited_devices + 1;
  EXPECT_THAT(Validate(spec), HasStatus(kInvalid, "round.invited: expected at least secure.min_cohort"));
  spec = ValidSpec();
  spec.plan.secure.mode = SecureMode::kMalicious;
  spec.cells.input_time = std::chrono::seconds(0);
  EXPECT_THAT(Validate(spec), HasStatus(kInvalid, "secure.input_seconds"));
}

// Lanes of 32 bits hold the sums of all cells of a round, narrower ones that of one cell.
TEST(TaskSpecTest, MostUpdatesInASum) {
  const std::string more = "[round]\ninvited = 100\n[secure]\ncell_devices = 10\n";
  const std::string smallest = "name = \"home\"\nbase = \"small.gguf\"\n";
  EXPECT_EQ(Parse(smallest + more)->plan.encoding.max_inputs, 10u);
  EXPECT_EQ(Parse(smallest + more + "[update]\nlane_bits = 32\n")->plan.encoding.max_inputs, 100u);
  EXPECT_EQ(Parse(smallest + "secure_aggregation = \"off\"\n" + more)->plan.encoding.max_inputs, 100u);
}

TEST(TaskSpecTest, LimitsOfTimes) {
  using std::chrono::hours;
  using std::chrono::seconds;
  const auto deadline = [](seconds value) {
    TaskSpec spec = ValidSpec();
    spec.round_deadline = value;
    return Validate(spec);
  };
  EXPECT_THAT(deadline(seconds(10)), IsOk());
  EXPECT_THAT(deadline(seconds(9)), HasStatus(kInvalid, "deadline_seconds"));
  EXPECT_THAT(deadline(hours(168)), IsOk());
  EXPECT_THAT(deadline(hours(168) + seconds(1)), HasStatus(kInvalid, "deadline_seconds"));
  const auto linger = [](seconds value) {
    TaskSpec spec = ValidSpec();
    spec.round_linger = value;
    return Validate(spec);
  };
  EXPECT_THAT(linger(seconds(0)), IsOk());
  EXPECT_THAT(linger(seconds(-1)), HasStatus(kInvalid, "linger_seconds"));
  EXPECT_THAT(linger(hours(168) + seconds(1)), HasStatus(kInvalid, "linger_seconds"));
  const auto poll = [](seconds value) {
    TaskSpec spec = ValidSpec();
    spec.poll_interval = value;
    return Validate(spec);
  };
  EXPECT_THAT(poll(seconds(1)), IsOk());
  EXPECT_THAT(poll(seconds(0)), HasStatus(kInvalid, "poll_seconds"));
  EXPECT_THAT(poll(hours(24)), IsOk());
  EXPECT_THAT(poll(hours(24) + seconds(1)), HasStatus(kInvalid, "poll_seconds"));
}

TEST(TaskSpecTest, RefusesWhatTheFleetCannotDo) {
  TaskSpec spec = ValidSpec();
  spec.plan.trained = LoraMethod::kFactors;
  EXPECT_THAT(Validate(spec), IsOk());
  spec.plan.smallest_rank = 2;
  EXPECT_THAT(Validate(spec), HasStatus(kInvalid, "smallest_rank"));
  spec = ValidSpec();
  spec.refactor_every = 1'000'000;
  EXPECT_THAT(Validate(spec), IsOk());
  spec.refactor_every += 1;
  EXPECT_THAT(Validate(spec), HasStatus(kInvalid, "server.refactor_every"));
  spec.refactor_every = 2;
  spec.plan.train.control_variates = true;
  spec.plan.encoding.lane_bits = 32;
  EXPECT_THAT(Validate(spec), HasStatus(kInvalid, "server.refactor_every: expected 0 with control_variates"));
  spec.refactor_every = 0;
  EXPECT_THAT(Validate(spec), IsOk());
  spec = ValidSpec();
  spec.device_tag = "Living Room";
  EXPECT_THAT(Validate(spec), HasStatus(kInvalid, "device_tag"));
  spec = ValidSpec();
  spec.plan.encoding.max_inputs = spec.invited_devices - 1;
  EXPECT_THAT(Validate(spec), HasStatus(kInvalid, "max_inputs"));
  spec = ValidSpec();
  spec.server.tau = 0;
  EXPECT_THAT(Validate(spec), HasStatus(kInvalid, "server.tau"));
}

TEST(TaskSpecTest, DeviceTags) {
  EXPECT_TRUE(IsDeviceTag("living-room-2"));
  EXPECT_TRUE(IsDeviceTag(std::string(64, 'a')));
  EXPECT_FALSE(IsDeviceTag(std::string(65, 'a')));
  EXPECT_FALSE(IsDeviceTag(""));
  EXPECT_FALSE(IsDeviceTag("a b"));
}

}  // namespace
}  // namespace fleetune
