#include "lora/formats/lora_matrix.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

using MatrixKey = std::tuple<uint32_t, Projection, bool>;

std::string Shape(uint64_t rows, uint64_t columns) {
  return std::to_string(rows) + " x " + std::to_string(columns);
}

absl::Status CheckShape(const LoraMatrix& matrix, uint64_t rows, uint64_t columns) {
  if (matrix.rows == rows && matrix.columns == columns) return absl::OkStatus();
  return absl::InvalidArgumentError(matrix.name + ": expected " + Shape(rows, columns) + ", got " +
                                    Shape(matrix.rows, matrix.columns));
}

// out x rank to rows by rank.
void TransposeInto(const LoraMatrix& matrix, std::span<float> by_rank) {
  for (uint64_t row = 0; row < matrix.rows; ++row) {
    for (uint64_t column = 0; column < matrix.columns; ++column) {
      by_rank[column * matrix.rows + row] = matrix.values[row * matrix.columns + column];
    }
  }
}

absl::StatusOr<const LoraMatrix*> FindMatrix(const std::map<MatrixKey, const LoraMatrix*>& by_key,
                                             const LoraModule& module, bool is_b) {
  const auto at = by_key.find({module.layer, module.projection, is_b});
  if (at != by_key.end()) return at->second;
  return absl::InvalidArgumentError(
      std::string(is_b ? "B" : "A") + " of " + std::string(ProjectionName(module.projection)) +
      " in layer " + std::to_string(module.layer) +
      " is missing: an adapter must have its targets in every layer of the base");
}

}  // namespace

absl::StatusOr<Adapter> AssembleAdapter(uint32_t rank, float alpha, std::vector<LoraMatrix> matrices,
                                        const BaseSizes& base) {
  std::map<MatrixKey, const LoraMatrix*> by_key;
  std::set<Projection> targets;
  for (const LoraMatrix& matrix : matrices) {
    CHECK(matrix.values.size() == matrix.rows * matrix.columns);
    if (matrix.layer >= base.layers) {
      return absl::InvalidArgumentError(matrix.name + ": the base has " + std::to_string(base.layers) +
                                        " layers");
    }
    if (!by_key.emplace(MatrixKey(matrix.layer, matrix.projection, matrix.is_b), &matrix).second) {
      return absl::InvalidArgumentError(matrix.name + ": this matrix is there twice");
    }
    targets.insert(matrix.projection);
  }
  ASSIGN_OR_RETURN(const AdapterSpec spec,
                   AdapterSpec::Create({.rank = rank, .alpha = alpha, .targets = {targets.begin(), targets.end()}},
                                       base));
  std::vector<float> a(spec.a_size());
  std::vector<float> b(spec.b_size());
  for (const LoraModule& module : spec.modules()) {
    ASSIGN_OR_RETURN(const LoraMatrix* const module_a, FindMatrix(by_key, module, false));
    ASSIGN_OR_RETURN(const LoraMatrix* const module_b, FindMatrix(by_key, module, true));
    RETURN_IF_ERROR(CheckShape(*module_a, rank, module.in));
    RETURN_IF_ERROR(CheckShape(*module_b, module.out, rank));
    std::ranges::copy(module_a->values, a.begin() + static_cast<ptrdiff_t>(module.a_offset));
    TransposeInto(*module_b, std::span(b).subspan(module.b_offset, module_b->values.size()));
  }
  return Adapter::Create(spec, std::move(a), std::move(b));
}

std::vector<LoraMatrix> SplitAdapter(const Adapter& adapter) {
  const uint32_t rank = adapter.spec().rank();
  std::vector<LoraMatrix> matrices;
  for (const LoraModule& module : adapter.spec().modules()) {
    const std::span<const float> a = adapter.a(module);
    const std::span<const float> b = adapter.b(module);
    matrices.push_back({.name = {},
                        .layer = module.layer,
                        .projection = module.projection,
                        .is_b = false,
                        .rows = rank,
                        .columns = module.in,
                        .values = {a.begin(), a.end()}});
    LoraMatrix by_row{.name = {},
                      .layer = module.layer,
                      .projection = module.projection,
                      .is_b = true,
                      .rows = module.out,
                      .columns = rank,
                      .values = std::vector<float>(b.size())};
    for (uint64_t row = 0; row < by_row.rows; ++row) {
      for (uint64_t j = 0; j < rank; ++j) by_row.values[row * rank + j] = b[j * module.out + row];
    }
    matrices.push_back(std::move(by_row));
  }
  return matrices;
}

absl::Status ReorderHeads(HeadRows order, const AdapterBase& base, LoraMatrix& matrix) {
  const bool is_q = matrix.projection == Projection::kQ;
  if (!base.permuted_qk || !matrix.is_b || !(is_q || matrix.projection == Projection::kK)) {
    return absl::OkStatus();
  }
  const uint64_t heads = is_q ? base.heads : base.kv_heads;
  if (heads == 0 || matrix.rows % (2 * heads) != 0) {
    return absl::InvalidArgumentError(matrix.name + ": " + std::to_string(matrix.rows) +
                                      " rows do not divide into " + std::to_string(heads) +
                                      " heads of even size");
  }
  const uint64_t half = matrix.rows / heads / 2;
  std::vector<float> reordered(matrix.values.size());
  for (uint64_t row = 0; row < matrix.rows; ++row) {
    const uint64_t head_start = row / (2 * half) * (2 * half);
    const uint64_t within = row - head_start;
    const uint64_t target = order == HeadRows::kInterleave
                                ? within % half * 2 + within / half
                                : within % 2 * half + within / 2;
    std::copy_n(matrix.values.begin() + static_cast<ptrdiff_t>(row * matrix.columns), matrix.columns,
                reordered.begin() + static_cast<ptrdiff_t>((head_start + target) * matrix.columns));
  }
  matrix.values = std::move(reordered);
  return absl::OkStatus();
}

}  // namespace fleetune
