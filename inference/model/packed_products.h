#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "inference/kernels/packed_product.h"
#include "inference/model/packed_adapter.h"

namespace fleetune {

// y += W x + scale * B (A x), for projections of one layer that read the same vectors.
struct ProjectionProduct {
  Projection projection = Projection::kQ;
  const PackedMatrix* w = nullptr;
  std::span<float> y;
};

// Computes such products; keeps the memory that they need from one to the next. Not thread-safe.
class PackedProducts {
 public:
  // `adapter` may be null. `compute` is borrowed.
  PackedProducts(const Compute& compute, std::shared_ptr<const PackedAdapter> adapter)
      : compute_(compute), adapter_(std::move(adapter)) {}

  const std::shared_ptr<const PackedAdapter>& adapter() const { return adapter_; }

  void Add(uint32_t layer, std::span<const float> x, std::span<const ProjectionProduct> products);

  // y += W x, of the output matrix, which no adapter changes.
  void AddPlain(const PackedMatrix& w, std::span<const float> x, std::span<float> y);

 private:
  // One projection's A x on its way to B.
  struct Middle {
    std::vector<float> ax;      // a row of rank floats a vector
    std::vector<float> padded;  // scaled, a row of rank_columns
    VectorTiles tiles;
  };
  void AddAdapted(uint32_t layer, std::span<const ProjectionProduct> products, size_t vectors);

  const Compute compute_;
  const std::shared_ptr<const PackedAdapter> adapter_;
  VectorTiles tiles_;
  std::vector<Middle> middles_;
  std::vector<PackedProduct> jobs_;
};

}  // namespace fleetune
