#pragma once

#include <span>

#include "inference/kernels/compute.h"
#include "inference/kernels/packed_matrix.h"
#include "inference/kernels/vector_tiles.h"

namespace fleetune {

struct PanelKernels;  // panel_kernels.h
const PanelKernels& PanelKernelsOf(InstructionSet set);

struct PackedProduct {
  const PackedMatrix* w = nullptr;
  const VectorTiles* x = nullptr;
  std::span<float> y;  // vectors * w->rows
  // Products of as many rows into parts of this y, that are added after it, while y is in the caches. They have none of
  // their own; checked.
  std::span<const PackedProduct> then = {};
};

// y[t * rows + r] += sum over c of W[r][c] * x[t * columns + c], for all products and vectors. Products are computed beside
// one another, so none may read what another writes.
//
// Quantized matrices are multiplied with vectors that are quantized too (vector_tiles.h): exact sums of integers a block,
// which are added up in f32 in the order of columns (panel_kernels.h has the formula). Floats are added up in the order of
// columns. The same bits for every instruction set, number of vectors and number of threads.
//
// Requires that x was filled with the form that the matrix needs, w->columns == x->columns() and the size of y; checked.
// Thread-safe.
void AddProducts(std::span<const PackedProduct> products, const Compute& compute);

// Asks the second cache for the first `bytes` of a matrix that is to be read soon: a processor sees late that it reads a stream, and a
// short one ends before. No more than advice.
void FetchBeginning(const PackedMatrix& w, size_t bytes);

}  // namespace fleetune
