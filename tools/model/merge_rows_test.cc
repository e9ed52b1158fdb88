#include "tools/model/merge_rows.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using testing::ElementsAre;
using testing::FloatEq;

// 3 features to 2: B A is (1 2 3; -2 -4 -6) times 2.
LoraPair SomePair() {
  return {.layer = 1,
          .projection = Projection::kO,
          .rank = 2,
          .alpha = 4,
          .a = {1, 2, 3, 0, 0, 1},
          .b = {1, 0, -2, 0},
          .magnitude = {}};
}

TEST(MergeRowsTest, AddsTheScaledProduct) {
  const auto changes = MergeRows({SomePair()});
  ASSERT_EQ(changes.size(), 1u);
  const RowChange& change = changes.at("blk.1.attn_output.weight");
  std::vector<float> row = {10, 20, 30};
  ASSERT_THAT(change(0, row), IsOk());
  EXPECT_THAT(row, ElementsAre(12, 24, 36));
  row = {10, 20, 30};
  ASSERT_THAT(change(1, row), IsOk());
  EXPECT_THAT(row, ElementsAre(6, 12, 18));
}

TEST(MergeRowsTest, DoraGivesEachRowItsMagnitude) {
  LoraPair pair = SomePair();
  pair.magnitude = {10, 0.5f};
  const auto changes = MergeRows({pair});
  std::vector<float> row = {1, -4, -2};  // becomes (3, 0, 4), of norm 5
  ASSERT_THAT(changes.begin()->second(0, row), IsOk());
  EXPECT_THAT(row, ElementsAre(FloatEq(6), FloatEq(0), FloatEq(8)));
  row = {4, 8, 17};  // becomes (0, 0, 5)
  ASSERT_THAT(changes.begin()->second(1, row), IsOk());
  EXPECT_THAT(row, ElementsAre(FloatEq(0), FloatEq(0), FloatEq(0.5f)));
  row = {4, 8, 12};
  EXPECT_THAT(changes.begin()->second(1, row),
              HasStatus(absl::StatusCode::kInvalidArgument, "blk.1.attn_output.weight: row 1 is zero"));
}

}  // namespace
}  // namespace fleetune
