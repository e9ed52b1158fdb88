#include "lora/formats/lora_matrix.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "inference/gguf/head_rows.h"

namespace fleetune {
namespace {

struct ModuleMatrices {
  LoraMatrix* a = nullptr;
  LoraMatrix* b = nullptr;
  LoraMatrix* magnitude = nullptr;  // null for plain LoRA

  LoraMatrix*& Of(LoraPart part) {
    return part == LoraPart::kA ? a : part == LoraPart::kB ? b : magnitude;
  }
};
using ByModule = std::map<std::pair<uint32_t, Projection>, ModuleMatrices>;

absl::Status CheckShape(const LoraMatrix& matrix, uint64_t rows, uint64_t columns) {
  if (matrix.rows == rows && matrix.columns == columns) return absl::OkStatus();
  const auto shape = [](uint64_t r, uint64_t c) { return std::to_string(r) + " x " + std::to_string(c); };
  return absl::InvalidArgumentError(matrix.name + ": expected " + shape(rows, columns) + ", got " +
                                    shape(matrix.rows, matrix.columns));
}

absl::StatusOr<ByModule> GroupByModule(std::vector<LoraMatrix>& matrices, const BaseSizes& base) {
  ByModule modules;
  for (LoraMatrix& matrix : matrices) {
    CHECK(matrix.values.size() == matrix.rows * matrix.columns);
    if (matrix.layer >= base.layers) {
      return absl::InvalidArgumentError(matrix.name + ": the base has " + std::to_string(base.layers) + " layers");
    }
    LoraMatrix*& slot = modules[{matrix.layer, matrix.projection}].Of(matrix.part);
    if (slot != nullptr) return absl::InvalidArgumentError(matrix.name + ": this matrix is there twice");
    slot = &matrix;
  }
  return modules;
}

absl::Status CheckModule(const ModuleMatrices& matrices, const ProjectionSizes& sizes) {
  if (matrices.a == nullptr || matrices.b == nullptr) {
    const LoraMatrix& there = matrices.a ? *matrices.a : matrices.b ? *matrices.b : *matrices.magnitude;
    return absl::InvalidArgumentError(std::string(matrices.a ? "B" : "A") + " is missing beside " + there.name);
  }
  const uint64_t rank = matrices.a->rows;
  if (rank < 1 || rank > kMaxAdapterRank) {
    return absl::InvalidArgumentError(matrices.a->name + ": expected a rank of at most " +
                                      std::to_string(kMaxAdapterRank) + ", got " + std::to_string(rank));
  }
  RETURN_IF_ERROR(CheckShape(*matrices.a, rank, sizes.in));
  RETURN_IF_ERROR(CheckShape(*matrices.b, sizes.out, rank));
  return matrices.magnitude == nullptr ? absl::OkStatus() : CheckShape(*matrices.magnitude, sizes.out, 1);
}

}  // namespace

absl::StatusOr<std::vector<LoraPair>> PairMatrices(std::vector<LoraMatrix> matrices, const BaseSizes& base) {
  ASSIGN_OR_RETURN(const ByModule modules, GroupByModule(matrices, base));
  std::vector<LoraPair> pairs;
  for (const auto& [module, of_module] : modules) {
    RETURN_IF_ERROR(CheckModule(of_module, base.projections[static_cast<size_t>(module.second)]));
    LoraPair pair{.layer = module.first,
                  .projection = module.second,
                  .rank = static_cast<uint32_t>(of_module.a->rows),
                  .a = std::move(of_module.a->values),
                  .b = std::move(of_module.b->values),
                  .magnitude = {}};
    if (of_module.magnitude != nullptr) pair.magnitude = std::move(of_module.magnitude->values);
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

std::vector<LoraMatrix> SplitPairs(std::vector<LoraPair> pairs, const BaseSizes& base) {
  std::vector<LoraMatrix> matrices;
  for (LoraPair& pair : pairs) {
    const ProjectionSizes& sizes = base.projections[static_cast<size_t>(pair.projection)];
    const auto add = [&](LoraPart part, uint64_t rows, uint64_t columns, std::vector<float> values) {
      CHECK(values.size() == rows * columns);
      matrices.push_back({.name = {},
                          .layer = pair.layer,
                          .projection = pair.projection,
                          .part = part,
                          .rows = rows,
                          .columns = columns,
                          .values = std::move(values)});
    };
    add(LoraPart::kA, pair.rank, sizes.in, std::move(pair.a));
    add(LoraPart::kB, sizes.out, pair.rank, std::move(pair.b));
    if (!pair.magnitude.empty()) add(LoraPart::kMagnitude, sizes.out, 1, std::move(pair.magnitude));
  }
  return matrices;
}

absl::Status ReorderHeads(HeadRows order, const AdapterBase& base, LoraMatrix& matrix) {
  const bool is_q = matrix.projection == Projection::kQ;
  if (!base.permuted_qk || matrix.part == LoraPart::kA || !(is_q || matrix.projection == Projection::kK)) {
    return absl::OkStatus();
  }
  const uint64_t heads = is_q ? base.heads : base.kv_heads;
  if (heads == 0 || matrix.rows % (2 * heads) != 0) {
    return absl::InvalidArgumentError(matrix.name + ": " + std::to_string(matrix.rows) +
                                      " rows do not divide into " + std::to_string(heads) +
                                      " heads of even size");
  }
  const uint64_t head_rows = matrix.rows / heads;
  std::vector<float> reordered(matrix.values.size());
  for (uint64_t row = 0; row < matrix.rows; ++row) {
    const uint64_t target =
        order == HeadRows::kInterleave ? InterleavedRow(row, head_rows) : SeparateRow(row, head_rows);
    std::copy_n(matrix.values.begin() + static_cast<ptrdiff_t>(row * matrix.columns), matrix.columns,
                reordered.begin() + static_cast<ptrdiff_t>(target * matrix.columns));
  }
  matrix.values = std::move(reordered);
  return absl::OkStatus();
}

}  // namespace fleetune
