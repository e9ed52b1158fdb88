#include "client/trainer/job_message.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "lora/adapter/adapter_spec.h"
#include "lora/plan/training_plan.h"
#include "lora/records/record.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr auto kTooMuch = absl::StatusCode::kResourceExhausted;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

TrainingJob SomeJob() {
  return {.plan = "task = \"a\"",
          .model_path = "/models/base.gguf",
          .version = 7,
          .ranks = 4,
          .a = {0.25f},
          .b = {1.5f, -2.0f, 0.0f},
          .records = {R"({"text":"one"})", R"({"text":"two"})"},
          .threads = 2,
          .memory_limit_bytes = 1ull << 33,
          .checkpoint_steps = 20,
          .checkpoint = {1, 2, 3},
          .held_out_secret = {9, 8, 7},
          .correction = {0.5f, -0.5f, 2.0f}};
}

std::vector<JobMessage> OneOfEachKind() {
  return {SomeJob(), StopTraining{},
          TrainingProgress{.step = 3, .steps = 10, .loss = 1.25, .tokens = 4096},
          TrainingDone{.a = {2.0f}, .b = {0.5f, 1.0f}, .first_loss = 3, .last_loss = 2, .tokens = 99, .examples = 7, .steps = 10},
          TrainingDone{.b = {1.0f}, .steps = 2, .held_out_before = 1.5, .held_out_after = 1.25, .mean_gradient = {-3.0f}},
          TrainingFailed{absl::ResourceExhaustedError("out of memory")},
          PauseTraining{},
          ResumeTraining{},
          TrainingBegun{.step = 40, .not_used = "of another training"},
          TrainingPaused{.step = 41},
          TrainingCheckpoint{.step = 60, .state = {9, 8, 7}}};
}

// What follows the length.
Bytes PayloadOf(const JobMessage& message) {
  const Bytes frame = *EncodeJobFrame(message);
  return Bytes(frame.begin() + 4, frame.end());
}

TEST(JobFrameTest, EveryKindComesBackAsItWas) {
  for (const JobMessage& message : OneOfEachKind()) {
    const auto frame = EncodeJobFrame(message);
    ASSERT_THAT(frame, IsOk());
    uint32_t size = 0;
    std::memcpy(&size, frame->data(), sizeof(size));
    EXPECT_EQ(size + 4, frame->size());
    const auto back = DecodeJobFrame(std::span(*frame).subspan(4));
    ASSERT_THAT(back, IsOk());
    EXPECT_EQ(*back, message);
  }
}

TEST(JobFrameTest, EveryTruncationIsDataLoss) {
  for (const JobMessage& message : OneOfEachKind()) {
    const Bytes payload = PayloadOf(message);
    for (size_t size = 0; size < payload.size(); ++size) {
      const Bytes part(payload.begin(), payload.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_THAT(DecodeJobFrame(part), HasStatus(kDataLoss, "")) << "kind " << message.index() << " at " << size;
    }
    Bytes longer = payload;
    longer.push_back(0);
    EXPECT_THAT(DecodeJobFrame(longer), HasStatus(kDataLoss, ""));
  }
}

TEST(JobFrameTest, LimitsHoldOnTheWayOut) {
  TrainingJob job = SomeJob();
  job.plan.assign(kMaxPlanBytes, 'x');
  EXPECT_THAT(EncodeJobFrame(job), IsOk());
  job.plan += 'x';
  EXPECT_THAT(EncodeJobFrame(job), HasStatus(kTooMuch, "plan"));

  job = SomeJob();
  job.model_path.assign(kMaxModelPathBytes, 'x');
  EXPECT_THAT(EncodeJobFrame(job), IsOk());
  job.model_path += 'x';
  EXPECT_THAT(EncodeJobFrame(job), HasStatus(kTooMuch, "model_path"));

  job = SomeJob();
  job.threads = kMaxTrainerThreads;
  EXPECT_THAT(EncodeJobFrame(job), IsOk());
  job.threads = kMaxTrainerThreads + 1;
  EXPECT_THAT(EncodeJobFrame(job), HasStatus(kTooMuch, "threads"));

  job = SomeJob();
  job.ranks = kMaxAdapterRank;
  EXPECT_THAT(EncodeJobFrame(job), IsOk());
  job.ranks = kMaxAdapterRank + 1;
  EXPECT_THAT(EncodeJobFrame(job), HasStatus(kTooMuch, "ranks"));

  job = SomeJob();
  job.records = {std::string(kMaxRecordBytes, 'x')};
  EXPECT_THAT(EncodeJobFrame(job), IsOk());
  job.records[0] += 'x';
  EXPECT_THAT(EncodeJobFrame(job), HasStatus(kTooMuch, "record 0 of the job"));
  job.records.insert(job.records.begin(), {"{}", "{}"});
  EXPECT_THAT(EncodeJobFrame(job), HasStatus(kTooMuch, "record 2 of the job, bytes: at most 1048576, got 1048577"));

  TrainingCheckpoint checkpoint{.step = 1, .state = Bytes(kMaxJobCheckpointBytes + 1)};
  EXPECT_THAT(EncodeJobFrame(checkpoint), HasStatus(kTooMuch, "state"));
}

TEST(JobFrameTest, LongFailuresAreCutOff) {
  const auto frame = EncodeJobFrame(TrainingFailed{absl::InternalError(std::string(kMaxFailureBytes + 5, 'x'))});
  ASSERT_THAT(frame, IsOk());
  const auto back = DecodeJobFrame(std::span(*frame).subspan(4));
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(std::get<TrainingFailed>(*back).status.message().size(), kMaxFailureBytes);
}

// Frames of a liar: the first counts of a job, a result and a failure changed.
TEST(JobFrameTest, SizesThatLieAreRefusedBeforeAnythingIsAllocated) {
  Bytes done = PayloadOf(TrainingDone{.b = {1, 2}});
  const uint32_t many = 1u << 28;
  std::memcpy(done.data() + 5, &many, sizeof(many));
  EXPECT_THAT(DecodeJobFrame(done), HasStatus(kDataLoss, "b: 268435456"));
  const uint32_t too_many = many + 1;
  std::memcpy(done.data() + 5, &too_many, sizeof(too_many));
  EXPECT_THAT(DecodeJobFrame(done), HasStatus(kTooMuch, "b"));
  std::memcpy(done.data() + 1, &many, sizeof(many));
  EXPECT_THAT(DecodeJobFrame(done), HasStatus(kDataLoss, "a: 268435456"));

  Bytes checkpoint = PayloadOf(TrainingCheckpoint{.step = 1, .state = {1}});
  std::memcpy(checkpoint.data() + 5, &many, sizeof(many));
  EXPECT_THAT(DecodeJobFrame(checkpoint), HasStatus(kDataLoss, ""));
  const uint32_t large_state = kMaxJobCheckpointBytes + 1;
  std::memcpy(checkpoint.data() + 5, &large_state, sizeof(large_state));
  EXPECT_THAT(DecodeJobFrame(checkpoint), HasStatus(kTooMuch, ""));

  Bytes job = PayloadOf(SomeJob());
  const uint32_t long_plan = kMaxPlanBytes + 1;
  std::memcpy(job.data() + 1, &long_plan, sizeof(long_plan));
  EXPECT_THAT(DecodeJobFrame(job), HasStatus(kTooMuch, ""));
}

TEST(JobFrameTest, TheSecretOfTheHeldOutPartIsLimited) {
  TrainingJob job = SomeJob();
  job.held_out_secret.assign(kMaxHeldOutSecretBytes, 1);
  EXPECT_THAT(EncodeJobFrame(job), IsOk());
  job.held_out_secret.push_back(1);
  EXPECT_THAT(EncodeJobFrame(job), HasStatus(kTooMuch, "held_out_secret"));
}

TEST(JobFrameTest, NonsenseIsRefused) {
  EXPECT_THAT(DecodeJobFrame(Bytes{0}), HasStatus(kInvalid, "unknown kind of frame: 0"));
  EXPECT_THAT(DecodeJobFrame(Bytes{11}), HasStatus(kInvalid, "unknown kind of frame: 11"));
  for (const int32_t code : {-1, 0, 17}) {
    Bytes failed = PayloadOf(TrainingFailed{absl::InternalError("x")});
    std::memcpy(failed.data() + 1, &code, sizeof(code));
    EXPECT_THAT(DecodeJobFrame(failed), HasStatus(kInvalid, "code")) << code;
  }
  Bytes done = PayloadOf(TrainingDone{.b = {1, 2}});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(done.data() + 13, &nan, sizeof(nan));
  EXPECT_THAT(DecodeJobFrame(done), HasStatus(kInvalid, "b[1] is not finite"));
  done = PayloadOf(TrainingDone{.b = {1, 2}});
  done[done.size() - 1 - sizeof(uint32_t)] = 2;  // before the mean gradient
  EXPECT_THAT(DecodeJobFrame(done), HasStatus(kInvalid, "held_out_after: expected 0 or 1"));
  done = PayloadOf(TrainingDone{.b = {1, 2}, .mean_gradient = {1, 2}});
  std::memcpy(done.data() + done.size() - sizeof(nan), &nan, sizeof(nan));
  EXPECT_THAT(DecodeJobFrame(done), HasStatus(kInvalid, "mean_gradient[1] is not finite"));
  Bytes job = PayloadOf(SomeJob());
  std::memcpy(job.data() + job.size() - sizeof(nan), &nan, sizeof(nan));
  EXPECT_THAT(DecodeJobFrame(job), HasStatus(kInvalid, "correction[2] is not finite"));
  Bytes progress = PayloadOf(TrainingProgress{});
  const double infinite = std::numeric_limits<double>::infinity();
  std::memcpy(progress.data() + 9, &infinite, sizeof(infinite));
  EXPECT_THAT(DecodeJobFrame(progress), HasStatus(kInvalid, "loss is not finite"));
}

}  // namespace
}  // namespace fleetune
