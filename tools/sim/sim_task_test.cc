#include "tools/sim/sim_task.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "inference/tokenizer/tokenizer.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_llama.h"
#include "tools/sim/quadratic_trainer.h"

namespace fleetune {
namespace {

using absl::StatusCode;

absl::StatusOr<SimTask> TinySimTask(const std::string& toml, bool masks = false) {
  return SimTaskOver(TinyLlama{}.ToBytes(), toml, masks);
}

TEST(SimTaskTest, TakesTheNameThatTheTaskGivesItsBase) {
  const auto task = TinySimTask(QuadraticTask(4, "", "", "semi-honest"));
  ASSERT_THAT(task, IsOk());
  EXPECT_EQ(task->model.name, "tiny");
  EXPECT_EQ(task->model.layers, 2u);
  EXPECT_EQ(task->adapter.rank(), 2u);
  EXPECT_EQ(task->spec.plan.base, task->model.sha256);
}

TEST(SimTaskTest, MasksAreThereOnlyIfAskedFor) {
  const std::string toml = QuadraticTask(4, "", "", "semi-honest");
  EXPECT_FALSE(TinySimTask(toml, /*masks=*/false)->spec.secure());
  EXPECT_TRUE(TinySimTask(toml, /*masks=*/true)->spec.secure());
  EXPECT_FALSE(TinySimTask(QuadraticTask(4, ""), /*masks=*/true)->spec.secure());
}

TEST(SimTaskTest, WhatIsNotSimulatedIsNamed) {
  EXPECT_THAT(TinySimTask(QuadraticTask(4, "rank = 2")), HasStatus(StatusCode::kInvalidArgument, "unknown key"));
  const std::string noise =
      "[secure]\nmin_cohort = 20\nmin_survivors = 18\n[privacy]\nnoise_multiplier = 1\ndevice_epsilon_limit = 100\n";
  EXPECT_THAT(TinySimTask(QuadraticTask(20, "", noise, "semi-honest")),
              HasStatus(StatusCode::kInvalidArgument, "noise_multiplier"));
  std::string smaller = QuadraticTask(4, "");
  smaller.replace(smaller.find("rank = 2"), 8, "rank = 2\nsmallest_rank = 1");
  EXPECT_THAT(TinySimTask(smaller), HasStatus(StatusCode::kInvalidArgument, "smallest_rank"));
}

TEST(SimTaskTest, TokensOfAllPartsOfAllDevices) {
  const Bytes bytes = TinyLlama{}.ToBytes();
  const auto file = GgufFile::FromBytes(bytes);
  ASSERT_THAT(file, IsOk());
  const auto tokenizer = Tokenizer::FromGguf(**file);
  ASSERT_THAT(tokenizer, IsOk());
  const std::vector<DeviceTexts> texts = {
      {.name = "a", .train = {PlainText{"one"}, PlainText{"two"}}, .held_out = {PlainText{"three"}}, .tuning = {}},
      {.name = "b", .train = {PlainText{"four"}}, .held_out = {PlainText{"five"}}, .tuning = {PlainText{"six"}}}};
  const auto data = Tokenized(texts, **tokenizer, TrainOptions{.sequence_length = 16});
  ASSERT_THAT(data, IsOk());
  ASSERT_EQ(data->devices.size(), 2u);
  EXPECT_EQ(data->devices[0].records, 2u);
  EXPECT_EQ(data->AllTrain().size(), 3u);
  EXPECT_EQ(data->held_out.size(), 2u);
  EXPECT_EQ(data->tuning.size(), 1u);
  EXPECT_EQ(CountTokens(data->tuning), 5u);  // BOS, three bytes, EOS
}

}  // namespace
}  // namespace fleetune
