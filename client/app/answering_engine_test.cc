#include "client/app/answering_engine.h"

#include "gtest/gtest.h"

namespace fleetune {
namespace {

TEST(AnsweringEngineTest, AnswersShareWhatIsLeft) {
  EXPECT_EQ(AnsweringEngine({.budget = 1600, .model = 500, .prompt_cache = 100, .answers = 4}, TensorType::kF16).cache_memory, 250u);
  EXPECT_EQ(AnsweringEngine({.budget = 1600, .model = 500, .prompt_cache = 100, .answers = 1}, TensorType::kF16).cache_memory, 1000u);
  EXPECT_EQ(AnsweringEngine({.budget = 0, .model = 500}, TensorType::kF16).cache_memory, std::nullopt);
}

TEST(AnsweringEngineTest, AModelLargerThanTheBudgetLeavesSome) {
  EXPECT_EQ(AnsweringEngine({.budget = 1600, .model = 1590, .prompt_cache = 0, .answers = 4}, TensorType::kF16).cache_memory, 25u);
  EXPECT_EQ(AnsweringEngine({.budget = 1600, .model = 1u << 30, .prompt_cache = 64, .answers = 4}, TensorType::kF16).cache_memory, 25u);
}

TEST(AnsweringEngineTest, KeysAndValuesAreOfTheOwnersType) {
  EXPECT_EQ(AnsweringEngine({}, TensorType::kQ8_0).cache_type, TensorType::kQ8_0);
  EXPECT_EQ(AnsweringEngine({}, TensorType::kF16).cache_type, TensorType::kF16);
}

}  // namespace
}  // namespace fleetune
