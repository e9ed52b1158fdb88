#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "inference/kernels/packed_product.h"
#include "inference/model/packed_adapter.h"

namespace fleetune {

// y += W x + scale * B (A x), for projections of one layer that read the same vectors; of DoRA that sum is multiplied by a gain a
// row before it is added.
struct ProjectionProduct {
  Projection projection = Projection::kQ;
  const PackedMatrix* w = nullptr;
  std::span<float> y;
};

// Neighbouring vectors that one adapter changes.
struct AdaptedVectors {
  const PackedAdapter* adapter = nullptr;
  size_t first = 0;
  size_t count = 0;
};

// Computes such products: A first, for the vectors of each adapter, then W for all vectors and B beside it, rows by rows. Keeps
// the memory that they need from one to the next. Not thread-safe.
class PackedProducts {
 public:
  // What `compute` points to is borrowed.
  explicit PackedProducts(const Compute& compute) : compute_(compute) {}

  // `adapted`: vectors in none of them are the base's alone; none is in two.
  void Add(uint32_t layer, std::span<const float> x, std::span<const AdaptedVectors> adapted,
           std::span<const ProjectionProduct> products);

  // y += W x, of the output matrix, which no adapter changes.
  void AddPlain(const PackedMatrix& w, std::span<const float> x, std::span<float> y);

 private:
  // One adapter's part of one projection.
  struct Branch {
    size_t product = 0;
    size_t adapted = 0;
    const PackedAdapter* adapter = nullptr;
    const PackedAdapter::Module* module = nullptr;
    const VectorTiles* x = nullptr;
    std::span<float> y;
    // A x on its way to B; the memory stays.
    std::vector<float> ax;      // a row of rank floats a vector
    std::vector<float> padded;  // scaled, a row of rank_columns
    VectorTiles tiles;
    std::vector<float> before;  // of DoRA: y as it was, while y takes W x + scale * B (A x)
  };
  // Branches of the layer, in branches_ up to their number, which comes back: those of the first product, of the next.
  size_t FindBranches(uint32_t layer, std::span<const AdaptedVectors> adapted,
                      std::span<const ProjectionProduct> products, size_t vectors);
  // Of each adapter, the beginning of the matrices of this kind: those of the layer's products lie one after another.
  static void FetchBeginnings(std::span<const Branch> branches, PackedMatrix PackedAdapter::Module::*kind, size_t bytes);
  // A x, and B's jobs.
  void MultiplyA(std::span<Branch> branches);
  static void SetAside(Branch& branch);
  void Gain(const Branch& branch) const;

  const Compute compute_;
  VectorTiles tiles_;                       // of all vectors
  std::vector<VectorTiles> adapted_tiles_;  // of each adapter's
  std::vector<Branch> branches_;
  std::vector<PackedProduct> jobs_;
  std::vector<PackedProduct> b_jobs_;
};

}  // namespace fleetune
