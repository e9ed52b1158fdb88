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

// Vectors (a tile) whose products wait for memory. It is best at long streams: matrices that lie one after another are read
// so, and what follows them after all of them. Of more vectors, what follows comes to a panel's y while that is in the caches.
constexpr size_t kFewVectors = 16;

size_t PanelsOf(const PackedMatrix& w) { return (w.rows + kPanelRows - 1) / kPanelRows; }

// Neighbouring panels of a matrix.
struct Panels {
  size_t first = 0;
  size_t count = 1;
};

void AddPanels(const PackedProduct& product, const Panels& panels, const VectorTiles::Tile& tile, const PanelKernels& kernels,
               float* y, size_t y_stride) {
  const PackedMatrix& w = *product.w;
  const VectorTiles& x = *product.x;
  const uint64_t bytes = PanelBytes(w.type, w.columns, w.half_blocks);
  const uint8_t* first = w.data.data() + panels.first * bytes;
  if (IsFloatType(w.type)) {
    for (size_t i = 0; i < panels.count; ++i) {
      kernels.floats({.type = w.type, .values = first + i * bytes, .columns = w.columns},
                     {.values = x.floats(tile), .vectors = tile.vectors}, y + i * kPanelRows, y_stride);
    }
    return;
  }
  kernels.quantized({.first = {.type = w.type,
                               .data = first,
                               .blocks = w.columns / kPanelBlock,
                               .half_blocks = w.half_blocks},
                     .count = panels.count,
                     .bytes = bytes},
                    {.values = x.values(tile),
                     .scales = x.scales(tile),
                     .minus = x.minus(tile),
                     .first = x.first_half(tile),
                     .second = x.second_half(tile),
                     .vectors = tile.vectors},
                    y, y_stride);
}

// All rows of full panels.
void AddWholeRows(const PackedProduct& product, const Panels& panels, const PanelKernels& kernels) {
  const size_t rows = product.w->rows;
  for (const VectorTiles::Tile& tile : product.x->tiles()) {
    AddPanels(product, panels, tile, kernels, product.y.data() + tile.first * rows + panels.first * kPanelRows, rows);
  }
}

// Those of a last panel that is not full.
void AddLastRows(const PackedProduct& product, size_t panel, const PanelKernels& kernels) {
  const size_t stride = product.w->rows;
  const size_t row = panel * kPanelRows;
  const size_t rows = stride - row;
  for (const VectorTiles::Tile& tile : product.x->tiles()) {
    float* y = product.y.data() + tile.first * stride + row;
    float whole[16 * kPanelRows] = {};
    for (size_t t = 0; t < tile.vectors; ++t) std::copy_n(y + t * stride, rows, whole + t * kPanelRows);
    AddPanels(product, {.first = panel}, tile, kernels, whole, kPanelRows);
    for (size_t t = 0; t < tile.vectors; ++t) std::copy_n(whole + t * kPanelRows, rows, y + t * stride);
  }
}

// Panels `begin` to `end` of one product, each read once from memory: where there are several tiles, all come to a panel while
// it is in the caches.
void AddRows(const PackedProduct& product, size_t begin, size_t end, const PanelKernels& kernels) {
  const size_t full = std::min(end, product.w->rows / kPanelRows);
  const size_t step = product.x->tiles().size() == 1 ? end - begin : 1;
  for (size_t first = begin; first < full; first += step) {
    AddWholeRows(product, {.first = first, .count = std::min(step, full - first)}, kernels);
  }
  if (full < end) AddLastRows(product, full, kernels);
}

// Panels `begin` to `end` of the products that follow this one.
void AddFollowing(const PackedProduct& product, size_t begin, size_t end, const PanelKernels& kernels) {
  for (const PackedProduct& more : product.then) AddRows(more, begin, end, kernels);
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

void FetchBeginning(const PackedMatrix& w, size_t bytes) {
  constexpr int kToRead = 0;
  constexpr int kSecondCache = 2;
  for (size_t i = 0; i < std::min(bytes, w.data.size()); i += kPanelLine) {
    __builtin_prefetch(w.data.data() + i, kToRead, kSecondCache);
  }
}

void AddProducts(std::span<const PackedProduct> products, const Compute& compute) {
  size_t panels = 0;
  bool waits_for_memory = true;
  for (const PackedProduct& product : products) {
    CheckFits(product);
    waits_for_memory = waits_for_memory && product.x->vectors() <= kFewVectors;
    panels += PanelsOf(*product.w);
  }
  const PanelKernels& kernels = PanelKernelsOf(compute.set);
  const size_t threads = compute.workers == nullptr ? 1 : compute.workers->threads();
  const size_t least = threads == 1 ? panels : kLeastPanels;
  const size_t each = std::max({least, panels / (threads * kPartsPerThread), size_t{1}});
  RunParts(compute, (panels + each - 1) / each, [&](size_t part) {
    const size_t begin = part * each;
    const size_t end = std::min(begin + each, panels);
    // add(product, its panels from, to) for those of this part
    const auto add_part = [&](auto add) {
      size_t first = 0;  // panel of the product
      for (const PackedProduct& product : products) {
        const size_t after = first + PanelsOf(*product.w);
        const size_t from = std::max(begin, first);
        if (from < std::min(end, after)) add(product, from - first, std::min(end, after) - first);
        first = after;
      }
    };
    if (waits_for_memory) {
      add_part([&](const PackedProduct& product, size_t from, size_t to) { AddRows(product, from, to, kernels); });
      add_part([&](const PackedProduct& product, size_t from, size_t to) { AddFollowing(product, from, to, kernels); });
      return;
    }
    add_part([&](const PackedProduct& product, size_t from, size_t to) {
      for (size_t panel = from; panel < to; ++panel) {
        AddRows(product, panel, panel + 1, kernels);
        AddFollowing(product, panel, panel + 1, kernels);
      }
    });
  });
}

}  // namespace fleetune
