#include "inference/kernels/vector_tiles.h"

#include "base/check.h"
#include "inference/kernels/packed_product.h"
#include "inference/kernels/panel_kernels.h"
#include "inference/kernels/panel_layout.h"

namespace fleetune {

void VectorTiles::PlaceTiles() {
  tiles_.clear();
  size_t first = 0;
  for (size_t size = 16; size > 0; size /= 2) {
    while (vectors_ - first >= size) {
      tiles_.push_back({.first = first, .vectors = size});
      first += size;
    }
  }
}

void VectorTiles::QuantizeVector(const Tile& tile, size_t vector, const float* x, const Compute& compute) {
  const PanelKernels& kernels = PanelKernelsOf(compute.set);
  const size_t blocks = columns_ / kPanelBlock;
  for (size_t b = 0; b < blocks; ++b) {
    const size_t at = tile.first * blocks + b * tile.vectors + vector;
    kernels.quantize(x + b * kPanelBlock, {.values = values_.data() + at * kPanelBlock,
                                           .scale = &scales_[at],
                                           .minus = &minus_[at],
                                           .first = &first_[at],
                                           .second = &second_[at]});
  }
}

void VectorTiles::Fill(std::span<const float> x, size_t columns, Forms forms, const Compute& compute) {
  CHECK(columns > 0 && x.size() % columns == 0);
  columns_ = columns;
  vectors_ = x.size() / columns;
  forms_ = forms;
  PlaceTiles();
  if (forms.quantized) {
    CHECK(columns % kPanelBlock == 0);
    const size_t blocks = vectors_ * (columns / kPanelBlock);
    values_.resize(x.size());
    scales_.resize(blocks);
    minus_.resize(blocks);
    first_.resize(blocks);
    second_.resize(blocks);
  }
  if (forms.floats) floats_.resize(x.size());
  RunParts(compute, tiles_.size(), [&](size_t index) {
    const Tile& tile = tiles_[index];
    for (size_t t = 0; t < tile.vectors; ++t) {
      const float* vector = x.data() + (tile.first + t) * columns_;
      if (forms.quantized) QuantizeVector(tile, t, vector, compute);
      if (!forms.floats) continue;
      float* out = floats_.data() + tile.first * columns_ + t;
      for (size_t c = 0; c < columns_; ++c) out[c * tile.vectors] = vector[c];
    }
  });
}

}  // namespace fleetune
