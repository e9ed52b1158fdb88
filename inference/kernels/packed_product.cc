#include "inference/kernels/packed_product.h"

#include <algorithm>

#include "base/check.h"
#include "inference/kernels/panel_kernels.h"
#include "inference/kernels/panel_layout.h"

namespace fleetune {
namespace {

// Parts a thread, so that one that is held up leaves its share to the others; and panels a part at least.
constexpr size_t kPartsPerThread = 4;
constexpr size_t kLeastPanels = 2;

size_t PanelsOf(const PackedMatrix& w) { return (w.rows + kPanelRows - 1) / kPanelRows; }

void AddPanel(const PackedMatrix& w, const uint8_t* panel, const VectorTiles& x, const VectorTiles::Tile& tile,
              const PanelKernels& kernels, float* y, size_t y_stride) {
  if (IsFloatType(w.type)) {
    kernels.floats({.type = w.type, .values = panel, .columns = w.columns},
                   {.values = x.floats(tile), .vectors = tile.vectors}, y, y_stride);
    return;
  }
  kernels.quantized({.type = w.type,
                     .data = panel,
                     .blocks = w.columns / kPanelBlock,
                     .half_blocks = w.half_blocks},
                    {.values = x.values(tile),
                     .scales = x.scales(tile),
                     .minus = x.minus(tile),
                     .first = x.first_half(tile),
                     .second = x.second_half(tile),
                     .vectors = tile.vectors},
                    y, y_stride);
}

// Rows 16 * index and so on of one product, for all vectors: the panel is read once from memory.
void AddRows(const PackedProduct& product, size_t index, const PanelKernels& kernels) {
  const VectorTiles& x = *product.x;
  const PackedMatrix& w = *product.w;
  const uint8_t* panel = w.data.data() + index * PanelBytes(w.type, w.columns, w.half_blocks);
  const size_t row = index * kPanelRows;
  const size_t rows = std::min(kPanelRows, w.rows - row);
  for (const VectorTiles::Tile& tile : x.tiles()) {
    float* y = product.y.data() + tile.first * w.rows + row;
    if (rows == kPanelRows) {
      AddPanel(w, panel, x, tile, kernels, y, w.rows);
      continue;
    }
    float whole[16 * kPanelRows] = {};
    for (size_t t = 0; t < tile.vectors; ++t) std::copy_n(y + t * w.rows, rows, whole + t * kPanelRows);
    AddPanel(w, panel, x, tile, kernels, whole, kPanelRows);
    for (size_t t = 0; t < tile.vectors; ++t) std::copy_n(whole + t * kPanelRows, rows, y + t * w.rows);
  }
}

// Vectors (a tile) whose y is small enough that matrices are read one after the other, each from its beginning to its end, which
// memory is best at. Of more, what follows comes to a panel's y while that is in the caches.
constexpr size_t kFewVectors = 16;

// Panels `begin` to `end` of a product, and of those then.
void AddPanels(const PackedProduct& product, size_t begin, size_t end, const PanelKernels& kernels) {
  const size_t step = product.x->vectors() <= kFewVectors ? end - begin : 1;
  for (size_t first = begin; first < end; first += step) {
    for (size_t panel = first; panel < first + step; ++panel) AddRows(product, panel, kernels);
    for (const PackedProduct& more : product.then) {
      for (size_t panel = first; panel < first + step; ++panel) AddRows(more, panel, kernels);
    }
  }
}

void CheckFits(const PackedProduct& product) {
  const VectorTiles& x = *product.x;
  const PackedMatrix& w = *product.w;
  CHECK(w.data.size() == PackedBytes(w.type, w.rows, w.columns, w.half_blocks));
  CHECK(w.columns == x.columns() && product.y.size() == x.vectors() * w.rows);
  CHECK(IsFloatType(w.type) ? x.forms().floats : x.forms().quantized);
  for (const PackedProduct& more : product.then) {
    CHECK(more.then.empty() && more.w->rows == w.rows);
    CHECK(more.y.data() >= product.y.data() && more.y.data() + more.y.size() <= product.y.data() + product.y.size());
    CHECK((more.y.data() - product.y.data()) % static_cast<ptrdiff_t>(w.rows) == 0);
    CheckFits(more);
  }
}

}  // namespace

const PanelKernels& PanelKernelsOf(InstructionSet set) {
  switch (set) {
#if defined(__x86_64__)
    case InstructionSet::kAvx2: return kAvx2PanelKernels;
    case InstructionSet::kAvx512: return kAvx512PanelKernels;
#elif defined(__aarch64__)
    case InstructionSet::kNeon: return kNeonPanelKernels;
#endif
    default: return kScalarPanelKernels;
  }
}

void AddProducts(std::span<const PackedProduct> products, const Compute& compute) {
  size_t panels = 0;
  for (const PackedProduct& product : products) {
    CheckFits(product);
    panels += PanelsOf(*product.w);
  }
  const PanelKernels& kernels = PanelKernelsOf(compute.set);
  const size_t threads = compute.workers == nullptr ? 1 : compute.workers->threads();
  const size_t least = threads == 1 ? panels : kLeastPanels;
  const size_t each = std::max({least, panels / (threads * kPartsPerThread), size_t{1}});
  RunParts(compute, (panels + each - 1) / each, [&](size_t part) {
    const size_t begin = part * each;
    const size_t end = std::min(begin + each, panels);
    size_t first = 0;  // panel of the product
    for (const PackedProduct& product : products) {
      const size_t after = first + PanelsOf(*product.w);
      const size_t from = std::max(begin, first);
      if (from < std::min(end, after)) AddPanels(product, from - first, std::min(end, after) - first, kernels);
      first = after;
    }
  });
}

}  // namespace fleetune
