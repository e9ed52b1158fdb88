#include "inference/kernels/row_norms.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "inference/kernels/blocks.h"

namespace fleetune {
namespace {

constexpr size_t kRowsAPart = 64;  // fewer are not worth waking a thread

void AddTimes(float factor, std::span<const float> x, std::span<float> y) {
  for (size_t i = 0; i < y.size(); ++i) y[i] += factor * x[i];
}

// In partial sums, so that the loop can be vectorized.
double SumOfSquares(std::span<const float> row) {
  constexpr size_t kSums = 8;
  std::array<double, kSums> sums{};
  const size_t whole = row.size() / kSums * kSums;
  for (size_t i = 0; i < whole; i += kSums) {
    for (size_t j = 0; j < kSums; ++j) sums[j] += static_cast<double>(row[i + j]) * static_cast<double>(row[i + j]);
  }
  for (size_t i = whole; i < row.size(); ++i) sums[0] += static_cast<double>(row[i]) * static_cast<double>(row[i]);
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

}  // namespace

void RowNorms(const WeightMatrix& w, const LowRankSum& added, const Compute& compute, std::span<float> norms) {
  const size_t rank = added.a.size() / w.columns;
  CHECK(norms.size() == w.rows);
  CHECK(added.a.size() == rank * w.columns && added.b.size() == rank * w.rows);
  const size_t row_bytes = w.rows == 0 ? 0 : w.data.size() / w.rows;
  RunParts(compute, (w.rows + kRowsAPart - 1) / kRowsAPart, [&](size_t part) {
    std::vector<float> row(w.columns);
    for (size_t r = part * kRowsAPart; r < std::min<size_t>(w.rows, (part + 1) * kRowsAPart); ++r) {
      Dequantize(w.type, w.data.subspan(r * row_bytes, row_bytes), row);
      for (size_t j = 0; j < rank; ++j) {
        const float factor = added.scale * added.b[j * w.rows + r];
        if (factor != 0) AddTimes(factor, added.a.subspan(j * w.columns, w.columns), row);  // B of a new adapter is zero
      }
      norms[r] = static_cast<float>(std::sqrt(SumOfSquares(row)));
    }
  });
}

}  // namespace fleetune
