#include "inference/model/packed_products.h"

#include "inference/kernels/panel_layout.h"

namespace fleetune {
namespace {

void Need(const PackedMatrix& w, VectorTiles::Forms& forms) {
  (IsFloatType(w.type) ? forms.floats : forms.quantized) = true;
}

}  // namespace

void PackedProducts::Add(uint32_t layer, std::span<const float> x, std::span<const ProjectionProduct> products) {
  const size_t columns = products.front().w->columns;
  const size_t vectors = x.size() / columns;
  VectorTiles::Forms forms;
  jobs_.clear();
  if (middles_.size() < products.size()) middles_.resize(products.size());
  bool adapted = false;
  for (size_t i = 0; i < products.size(); ++i) {
    const ProjectionProduct& product = products[i];
    Need(*product.w, forms);
    jobs_.push_back({.w = product.w, .x = &tiles_, .y = product.y});
    const PackedAdapter::Module* module = adapter_ == nullptr ? nullptr : adapter_->Find(layer, product.projection);
    if (module == nullptr) continue;
    adapted = true;
    Need(module->a, forms);
    middles_[i].ax.assign(vectors * adapter_->rank(), 0.0f);
    jobs_.push_back({.w = &module->a, .x = &tiles_, .y = middles_[i].ax});
  }
  tiles_.Fill(x, columns, forms, compute_);
  AddProducts(jobs_, compute_);
  if (adapted) AddAdapted(layer, products, vectors);
}

void PackedProducts::AddAdapted(uint32_t layer, std::span<const ProjectionProduct> products, size_t vectors) {
  const size_t rank = adapter_->rank();
  const size_t columns = adapter_->rank_columns();
  jobs_.clear();
  for (size_t i = 0; i < products.size(); ++i) {
    const PackedAdapter::Module* module = adapter_->Find(layer, products[i].projection);
    if (module == nullptr) continue;
    Middle& middle = middles_[i];
    middle.padded.assign(vectors * columns, 0.0f);
    for (size_t t = 0; t < vectors; ++t) {
      for (size_t r = 0; r < rank; ++r) {
        middle.padded[t * columns + r] = adapter_->scale() * middle.ax[t * rank + r];
      }
    }
    middle.tiles.Fill(middle.padded, columns, {.quantized = true}, {.set = compute_.set});
    jobs_.push_back({.w = &module->b, .x = &middle.tiles, .y = products[i].y});
  }
  AddProducts(jobs_, compute_);
}

void PackedProducts::AddPlain(const PackedMatrix& w, std::span<const float> x, std::span<float> y) {
  VectorTiles::Forms forms;
  Need(w, forms);
  tiles_.Fill(x, w.columns, forms, compute_);
  const PackedProduct job = {.w = &w, .x = &tiles_, .y = y};
  AddProducts({&job, 1}, compute_);
}

}  // namespace fleetune
