#include "lora/adapter/delta.h"

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

AdapterSpec SpecOfRank(uint32_t rank) {
  BaseSizes base{.layers = 1};
  base.projections[0] = {.in = 2, .out = 3};
  return *AdapterSpec::Create({.rank = rank, .alpha = 1, .targets = {Projection::kQ}}, base);
}

Adapter WithB(std::vector<float> b) {
  const AdapterSpec spec = SpecOfRank(1);
  return *Adapter::Create(spec, DeriveA(spec, 1), std::move(b));
}

TEST(MakeDeltaTest, IsAfterMinusBefore) {
  const auto delta = MakeDelta(WithB({1, 2, 3}), WithB({1, 4, 2.5f}), Factors::kB);
  ASSERT_THAT(delta, IsOk());
  EXPECT_THAT(*delta, testing::ElementsAre(0.0f, 2.0f, -0.5f));
}

TEST(MakeDeltaTest, RefusesAnotherSpec) {
  EXPECT_THAT(MakeDelta(Adapter::Initial(SpecOfRank(1), 1), Adapter::Initial(SpecOfRank(2), 1), Factors::kB),
              HasStatus(StatusCode::kInvalidArgument, "one spec"));
}

TEST(MakeDeltaTest, OfAAndOfBothInTheirOrder) {
  const AdapterSpec spec = SpecOfRank(1);
  const Adapter before = *Adapter::Create(spec, {1, 2}, {3, 4, 5});
  const Adapter moved_a = *Adapter::Create(spec, {2, 2.5f}, {3, 4, 5});
  const Adapter moved_both = *Adapter::Create(spec, {2, 2.5f}, {2, 4, 6});
  const auto of_a = MakeDelta(before, moved_a, Factors::kA);
  ASSERT_THAT(of_a, IsOk());
  EXPECT_THAT(*of_a, testing::ElementsAre(1.0f, 0.5f));
  const auto of_both = MakeDelta(before, moved_both, Factors::kBoth);
  ASSERT_THAT(of_both, IsOk());
  EXPECT_THAT(*of_both, testing::ElementsAre(1.0f, 0.5f, -1.0f, 0.0f, 1.0f));
  EXPECT_THAT(MakeDelta(before, moved_both, Factors::kA), HasStatus(StatusCode::kInvalidArgument, "B differs"));
}

TEST(MakeDeltaTest, RefusesAnotherA) {
  EXPECT_THAT(MakeDelta(Adapter::Initial(SpecOfRank(1), 1), Adapter::Initial(SpecOfRank(1), 2), Factors::kB),
              HasStatus(StatusCode::kInvalidArgument, "A differs"));
}

TEST(MakeDeltaTest, RefusesADifferenceThatOverflows) {
  const float max = std::numeric_limits<float>::max();
  EXPECT_THAT(MakeDelta(WithB({0, -max, 0}), WithB({0, max, 0}), Factors::kB),
              HasStatus(StatusCode::kInvalidArgument, "parameter 1"));
}

}  // namespace
}  // namespace fleetune
