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
  const auto delta = MakeDelta(WithB({1, 2, 3}), WithB({1, 4, 2.5f}));
  ASSERT_THAT(delta, IsOk());
  EXPECT_THAT(*delta, testing::ElementsAre(0.0f, 2.0f, -0.5f));
}

TEST(MakeDeltaTest, RefusesAnotherSpec) {
  EXPECT_THAT(MakeDelta(Adapter::Initial(SpecOfRank(1), 1), Adapter::Initial(SpecOfRank(2), 1)),
              HasStatus(StatusCode::kInvalidArgument, "one spec"));
}

TEST(MakeDeltaTest, RefusesAnotherA) {
  EXPECT_THAT(MakeDelta(Adapter::Initial(SpecOfRank(1), 1), Adapter::Initial(SpecOfRank(1), 2)),
              HasStatus(StatusCode::kInvalidArgument, "A differs"));
}

TEST(MakeDeltaTest, RefusesADifferenceThatOverflows) {
  const float max = std::numeric_limits<float>::max();
  EXPECT_THAT(MakeDelta(WithB({0, -max, 0}), WithB({0, max, 0})),
              HasStatus(StatusCode::kInvalidArgument, "parameter 1"));
}

}  // namespace
}  // namespace fleetune
