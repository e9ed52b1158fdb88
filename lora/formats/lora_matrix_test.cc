#include "lora/formats/lora_matrix.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::ElementsAre;

BaseSizes QvBase() {
  BaseSizes base{.layers = 2};
  base.projections[static_cast<size_t>(Projection::kQ)] = {.in = 3, .out = 4};
  base.projections[static_cast<size_t>(Projection::kV)] = {.in = 3, .out = 2};
  return base;
}

// Of layer 0: q with a magnitude, v without.
std::vector<LoraMatrix> SomeMatrices() {
  return {{.name = "q.A", .part = LoraPart::kA, .rows = 2, .columns = 3, .values = {1, 2, 3, 4, 5, 6}},
          {.name = "q.B", .part = LoraPart::kB, .rows = 4, .columns = 2, .values = {1, 2, 3, 4, 5, 6, 7, 8}},
          {.name = "q.m", .part = LoraPart::kMagnitude, .rows = 4, .columns = 1, .values = {1, 2, 3, 4}},
          {.name = "v.A", .projection = Projection::kV, .part = LoraPart::kA, .rows = 1, .columns = 3, .values = {7, 8, 9}},
          {.name = "v.B", .projection = Projection::kV, .part = LoraPart::kB, .rows = 2, .columns = 1, .values = {1, 2}}};
}

TEST(PairMatricesTest, PairsInAnyOrder) {
  std::vector<LoraMatrix> matrices = SomeMatrices();
  for (int i = 0; i < 2; ++i, std::ranges::reverse(matrices)) {
    const auto pairs = PairMatrices(matrices, QvBase());
    ASSERT_THAT(pairs, IsOk());
    ASSERT_EQ(pairs->size(), 2u);
    EXPECT_EQ(pairs->at(0).rank, 2u);
    EXPECT_THAT(pairs->at(0).a, ElementsAre(1, 2, 3, 4, 5, 6));
    EXPECT_THAT(pairs->at(0).magnitude, ElementsAre(1, 2, 3, 4));
    EXPECT_EQ(pairs->at(1).projection, Projection::kV);
    EXPECT_EQ(pairs->at(1).rank, 1u);
    EXPECT_THAT(pairs->at(1).b, ElementsAre(1, 2));
    EXPECT_THAT(pairs->at(1).magnitude, testing::IsEmpty());
  }
}

TEST(PairMatricesTest, RefusesWhatIsMissingDoubleOrOfAnotherShape) {
  const std::vector<LoraMatrix> matrices = SomeMatrices();
  for (size_t i = 0; i < matrices.size(); ++i) {
    std::vector<LoraMatrix> changed = matrices;
    changed.push_back(matrices[i]);
    EXPECT_THAT(PairMatrices(changed, QvBase()),
                HasStatus(StatusCode::kInvalidArgument, matrices[i].name + ": this matrix is there twice"));
    changed = matrices;
    changed[i].layer = 2;
    EXPECT_THAT(PairMatrices(changed, QvBase()),
                HasStatus(StatusCode::kInvalidArgument, matrices[i].name + ": the base has 2 layers"));
    changed = matrices;
    std::swap(changed[i].rows, changed[i].columns);
    EXPECT_THAT(PairMatrices(changed, QvBase()), HasStatus(StatusCode::kInvalidArgument, ": expected")) << i;
    if (matrices[i].part == LoraPart::kMagnitude) continue;  // a module may be without
    changed = matrices;
    changed.erase(changed.begin() + static_cast<ptrdiff_t>(i));
    EXPECT_THAT(PairMatrices(changed, QvBase()), HasStatus(StatusCode::kInvalidArgument, "is missing beside"));
  }
}

TEST(PairMatricesTest, RankIsLimitedOnBothSides) {
  for (const uint64_t rank : {uint64_t{0}, uint64_t{1}, uint64_t{256}, uint64_t{257}}) {
    std::vector<LoraMatrix> matrices = SomeMatrices();
    matrices.resize(2);
    matrices[0].rows = matrices[1].columns = rank;
    matrices[0].values.resize(rank * 3);
    matrices[1].values.resize(rank * 4);
    EXPECT_EQ(PairMatrices(matrices, QvBase()).ok(), rank == 1 || rank == kMaxAdapterRank) << rank;
  }
}

TEST(SplitPairsTest, IsTheInverse) {
  std::vector<LoraMatrix> matrices = SomeMatrices();
  matrices.erase(matrices.begin() + 2);
  const auto pairs = PairMatrices(matrices, QvBase());
  ASSERT_THAT(pairs, IsOk());
  const std::vector<LoraMatrix> again = SplitPairs(*pairs, QvBase());
  ASSERT_EQ(again.size(), matrices.size());
  for (size_t i = 0; i < again.size(); ++i) {
    EXPECT_EQ(again[i].part, matrices[i].part);
    EXPECT_EQ(again[i].rows, matrices[i].rows);
    EXPECT_EQ(again[i].columns, matrices[i].columns);
    EXPECT_EQ(again[i].values, matrices[i].values);
  }
}

LoraMatrix RowsOf(Projection projection, LoraPart part, std::vector<float> rows) {
  return {.name = "m", .projection = projection, .part = part, .rows = rows.size(), .columns = 1, .values = rows};
}

TEST(ReorderHeadsTest, InterleavesTheHalvesOfEachHead) {
  const AdapterBase base{.sizes = {}, .architecture = "llama", .heads = 2, .kv_heads = 1, .permuted_qk = true};
  LoraMatrix q = RowsOf(Projection::kQ, LoraPart::kB, {0, 1, 2, 3, 4, 5, 6, 7});
  ASSERT_THAT(ReorderHeads(HeadRows::kInterleave, base, q), IsOk());
  EXPECT_THAT(q.values, ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  LoraMatrix magnitude = RowsOf(Projection::kQ, LoraPart::kMagnitude, {0, 1, 2, 3, 4, 5, 6, 7});
  ASSERT_THAT(ReorderHeads(HeadRows::kInterleave, base, magnitude), IsOk());
  EXPECT_EQ(magnitude.values, q.values);
  LoraMatrix k = RowsOf(Projection::kK, LoraPart::kB, {0, 1, 2, 3, 4, 5, 6, 7});  // one head
  ASSERT_THAT(ReorderHeads(HeadRows::kInterleave, base, k), IsOk());
  EXPECT_THAT(k.values, ElementsAre(0, 4, 1, 5, 2, 6, 3, 7));
  ASSERT_THAT(ReorderHeads(HeadRows::kSeparate, base, k), IsOk());
  EXPECT_THAT(k.values, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST(ReorderHeadsTest, LeavesAllElseAlone) {
  AdapterBase base{.sizes = {}, .architecture = "llama", .heads = 1, .kv_heads = 1, .permuted_qk = true};
  for (const auto& [projection, part] :
       {std::pair(Projection::kV, LoraPart::kB), std::pair(Projection::kQ, LoraPart::kA)}) {
    LoraMatrix matrix = RowsOf(projection, part, {0, 1, 2, 3});
    ASSERT_THAT(ReorderHeads(HeadRows::kInterleave, base, matrix), IsOk());
    EXPECT_THAT(matrix.values, ElementsAre(0, 1, 2, 3));
  }
  base.permuted_qk = false;
  LoraMatrix q = RowsOf(Projection::kQ, LoraPart::kB, {0, 1, 2, 3});
  ASSERT_THAT(ReorderHeads(HeadRows::kInterleave, base, q), IsOk());
  EXPECT_THAT(q.values, ElementsAre(0, 1, 2, 3));
}

TEST(ReorderHeadsTest, RefusesRowsThatDoNotDivide) {
  AdapterBase base{.sizes = {}, .architecture = "llama", .heads = 4, .kv_heads = 0, .permuted_qk = true};
  LoraMatrix q = RowsOf(Projection::kQ, LoraPart::kB, {0, 1, 2, 3});
  EXPECT_THAT(ReorderHeads(HeadRows::kInterleave, base, q), HasStatus(StatusCode::kInvalidArgument, "heads"));
  LoraMatrix k = RowsOf(Projection::kK, LoraPart::kB, {0, 1, 2, 3});
  EXPECT_THAT(ReorderHeads(HeadRows::kInterleave, base, k), HasStatus(StatusCode::kInvalidArgument, "heads"));
}

}  // namespace
}  // namespace fleetune
