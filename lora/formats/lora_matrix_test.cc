#include "lora/formats/lora_matrix.h"

#include <limits>
#include <numeric>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::ElementsAre;

BaseSizes SmallBase() {
  BaseSizes base{.layers = 2};
  base.projections[static_cast<size_t>(Projection::kQ)] = {.in = 3, .out = 4};
  base.projections[static_cast<size_t>(Projection::kV)] = {.in = 3, .out = 2};
  return base;
}

Adapter CountingAdapter() {
  const AdapterSpec spec = *AdapterSpec::Create(
      {.rank = 2, .alpha = 4, .targets = {Projection::kQ, Projection::kV}}, SmallBase());
  std::vector<float> a(spec.a_size());
  std::vector<float> b(spec.b_size());
  std::iota(a.begin(), a.end(), 1.0f);
  std::iota(b.begin(), b.end(), 100.0f);
  return *Adapter::Create(spec, a, b);
}

TEST(LoraMatrixTest, BIsOutByRank) {
  const std::vector<LoraMatrix> matrices = SplitAdapter(CountingAdapter());
  ASSERT_EQ(matrices.size(), 8u);
  EXPECT_EQ(matrices[0].rows, 2u);
  EXPECT_THAT(matrices[0].values, ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_TRUE(matrices[1].is_b);
  EXPECT_EQ(matrices[1].rows, 4u);
  EXPECT_THAT(matrices[1].values, ElementsAre(100, 104, 101, 105, 102, 106, 103, 107));
}

TEST(LoraMatrixTest, AssemblesInAnyOrder) {
  const Adapter adapter = CountingAdapter();
  std::vector<LoraMatrix> matrices = SplitAdapter(adapter);
  std::reverse(matrices.begin(), matrices.end());
  const auto again = AssembleAdapter(2, 4, matrices, SmallBase());
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->spec() == adapter.spec());
  EXPECT_THAT(again->a(), testing::ElementsAreArray(adapter.a()));
  EXPECT_THAT(again->b(), testing::ElementsAreArray(adapter.b()));
}

TEST(LoraMatrixTest, RefusesWhatIsMissingDoubleOrOfAnotherShape) {
  const std::vector<LoraMatrix> matrices = SplitAdapter(CountingAdapter());
  for (size_t i = 0; i < matrices.size(); ++i) {
    std::vector<LoraMatrix> changed = matrices;
    changed.erase(changed.begin() + static_cast<ptrdiff_t>(i));
    EXPECT_THAT(AssembleAdapter(2, 4, changed, SmallBase()), HasStatus(StatusCode::kInvalidArgument, "is missing"));
    changed = matrices;
    changed.push_back(matrices[i]);
    EXPECT_THAT(AssembleAdapter(2, 4, changed, SmallBase()), HasStatus(StatusCode::kInvalidArgument, "there twice"));
    changed = matrices;
    changed[i].name = "this one";
    std::swap(changed[i].rows, changed[i].columns);
    if (changed[i].rows == changed[i].columns) continue;
    EXPECT_THAT(AssembleAdapter(2, 4, changed, SmallBase()),
                HasStatus(StatusCode::kInvalidArgument, "this one: expected"));
  }
}

TEST(LoraMatrixTest, RefusesLayersRanksAndValuesOutOfRange) {
  std::vector<LoraMatrix> matrices = SplitAdapter(CountingAdapter());
  EXPECT_THAT(AssembleAdapter(3, 4, matrices, SmallBase()), HasStatus(StatusCode::kInvalidArgument, "expected 3 x 3"));
  EXPECT_THAT(AssembleAdapter(2, 0, matrices, SmallBase()), HasStatus(StatusCode::kInvalidArgument, "alpha"));
  EXPECT_THAT(AssembleAdapter(2, 4, {}, SmallBase()), HasStatus(StatusCode::kInvalidArgument, "targets"));
  matrices[0].layer = 2;
  EXPECT_THAT(AssembleAdapter(2, 4, matrices, SmallBase()), HasStatus(StatusCode::kInvalidArgument, "2 layers"));
  matrices[0].layer = 0;
  matrices[0].values[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(AssembleAdapter(2, 4, matrices, SmallBase()), HasStatus(StatusCode::kInvalidArgument, "finite"));
}

LoraMatrix RowsOf(Projection projection, bool is_b, std::vector<float> rows) {
  return {.name = "m", .projection = projection, .is_b = is_b, .rows = rows.size(), .columns = 1, .values = rows};
}

TEST(ReorderHeadsTest, InterleavesTheHalvesOfEachHead) {
  const AdapterBase base{.sizes = {}, .architecture = "llama", .heads = 2, .kv_heads = 1, .permuted_qk = true};
  LoraMatrix q = RowsOf(Projection::kQ, true, {0, 1, 2, 3, 4, 5, 6, 7});
  ASSERT_THAT(ReorderHeads(HeadRows::kInterleave, base, q), IsOk());
  EXPECT_THAT(q.values, ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  LoraMatrix k = RowsOf(Projection::kK, true, {0, 1, 2, 3, 4, 5, 6, 7});  // one head
  ASSERT_THAT(ReorderHeads(HeadRows::kInterleave, base, k), IsOk());
  EXPECT_THAT(k.values, ElementsAre(0, 4, 1, 5, 2, 6, 3, 7));
  ASSERT_THAT(ReorderHeads(HeadRows::kSeparate, base, k), IsOk());
  EXPECT_THAT(k.values, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST(ReorderHeadsTest, LeavesAllElseAlone) {
  AdapterBase base{.sizes = {}, .architecture = "llama", .heads = 1, .kv_heads = 1, .permuted_qk = true};
  for (const auto& [projection, is_b] : {std::pair(Projection::kV, true), std::pair(Projection::kQ, false)}) {
    LoraMatrix matrix = RowsOf(projection, is_b, {0, 1, 2, 3});
    ASSERT_THAT(ReorderHeads(HeadRows::kInterleave, base, matrix), IsOk());
    EXPECT_THAT(matrix.values, ElementsAre(0, 1, 2, 3));
  }
  base.permuted_qk = false;
  LoraMatrix q = RowsOf(Projection::kQ, true, {0, 1, 2, 3});
  ASSERT_THAT(ReorderHeads(HeadRows::kInterleave, base, q), IsOk());
  EXPECT_THAT(q.values, ElementsAre(0, 1, 2, 3));
}

TEST(ReorderHeadsTest, RefusesRowsThatDoNotDivide) {
  AdapterBase base{.sizes = {}, .architecture = "llama", .heads = 4, .kv_heads = 0, .permuted_qk = true};
  LoraMatrix q = RowsOf(Projection::kQ, true, {0, 1, 2, 3});
  EXPECT_THAT(ReorderHeads(HeadRows::kInterleave, base, q), HasStatus(StatusCode::kInvalidArgument, "heads"));
  LoraMatrix k = RowsOf(Projection::kK, true, {0, 1, 2, 3});
  EXPECT_THAT(ReorderHeads(HeadRows::kInterleave, base, k), HasStatus(StatusCode::kInvalidArgument, "heads"));
}

}  // namespace
}  // namespace fleetune
