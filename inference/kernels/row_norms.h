#pragma once

#include <span>

#include "inference/kernels/compute.h"
#include "inference/kernels/product.h"

namespace fleetune {

// What is added to a matrix: scale * B A, of some rank. Views.
struct LowRankSum {
  std::span<const float> a;  // `rank` rows of w.columns
  std::span<const float> b;  // `rank` rows of w.rows: B by rank, its columns
  float scale = 0;
};

// norms[r] = Euclidean norm of row r of W + scale * B A, or of W if there is no rank.
//
// The rows are summed in f32 and their squares in double: at most (rank + 1) * 2^-24 off, relative to the sum of the norms of
// what is added up. The same bits for any number of workers. Reads each row of W once.
// Requires sizes that fit; checked. Thread-safe.
void RowNorms(const WeightMatrix& w, const LowRankSum& added, const Compute& compute, std::span<float> norms);

}  // namespace fleetune
