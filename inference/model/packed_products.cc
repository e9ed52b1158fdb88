#include "inference/model/packed_products.h"

#include <algorithm>

#include "inference/kernels/panel_layout.h"

namespace fleetune {
namespace {

void Need(const PackedMatrix& w, VectorTiles::Forms& forms) {
  (IsFloatType(w.type) ? forms.floats : forms.quantized) = true;
}

// What of A comes while vectors are quantized, and of B while W begins.
constexpr size_t kBeginningOfA = 16 << 10;
constexpr size_t kBeginningOfB = 4 << 10;

}  // namespace

void PackedProducts::Add(uint32_t layer, std::span<const float> x, std::span<const AdaptedVectors> adapted,
                         std::span<const ProjectionProduct> products) {
  const size_t columns = products.front().w->columns;
  const size_t count = FindBranches(layer, adapted, products, x.size() / columns);
  const std::span<Branch> branches = std::span(branches_).first(count);
  VectorTiles::Forms forms;
  for (const ProjectionProduct& product : products) Need(*product.w, forms);
  std::vector<VectorTiles::Forms> adapted_forms(adapted.size());
  for (const Branch& branch : branches) {
    Need(branch.module->a, branch.x == &tiles_ ? forms : adapted_forms[branch.adapted]);
  }
  FetchBeginnings(branches, &PackedAdapter::Module::a, kBeginningOfA);
  tiles_.Fill(x, columns, forms, compute_);
  for (size_t i = 0; i < adapted.size(); ++i) {
    if (!adapted_forms[i].floats && !adapted_forms[i].quantized) continue;
    adapted_tiles_[i].Fill(x.subspan(adapted[i].first * columns, adapted[i].count * columns), columns, adapted_forms[i],
                           compute_);
  }
  MultiplyA(branches);
  FetchBeginnings(branches, &PackedAdapter::Module::b, kBeginningOfB);
  jobs_.clear();
  size_t branch = 0;
  for (size_t p = 0; p < products.size(); ++p) {
    const size_t first = branch;
    while (branch < count && branches[branch].product == p) ++branch;
    jobs_.push_back({.w = products[p].w,
                     .x = &tiles_,
                     .y = products[p].y,
                     .then = std::span(b_jobs_).subspan(first, branch - first)});
  }
  AddProducts(jobs_, compute_);
  for (const Branch& one : branches) {
    if (!one.module->gains.empty()) Gain(one);
  }
}

size_t PackedProducts::FindBranches(uint32_t layer, std::span<const AdaptedVectors> adapted,
                                    std::span<const ProjectionProduct> products, size_t vectors) {
  if (adapted_tiles_.size() < adapted.size()) adapted_tiles_.resize(adapted.size());
  if (branches_.size() < adapted.size() * products.size()) branches_.resize(adapted.size() * products.size());
  size_t count = 0;
  for (size_t p = 0; p < products.size(); ++p) {
    const ProjectionProduct& product = products[p];
    for (size_t i = 0; i < adapted.size(); ++i) {
      const AdaptedVectors& some = adapted[i];
      const PackedAdapter::Module* module = some.adapter->Find(layer, product.projection);
      if (module == nullptr) continue;
      Branch& branch = branches_[count++];
      branch.product = p;
      branch.adapted = i;
      branch.adapter = some.adapter;
      branch.module = module;
      branch.x = some.count == vectors ? &tiles_ : &adapted_tiles_[i];
      branch.y = product.y.subspan(some.first * product.w->rows, some.count * product.w->rows);
      branch.ax.assign(some.count * some.adapter->rank(), 0.0f);
      if (!module->gains.empty()) SetAside(branch);
    }
  }
  return count;
}

void PackedProducts::FetchBeginnings(std::span<const Branch> branches, PackedMatrix PackedAdapter::Module::*kind,
                                     size_t bytes) {
  for (const Branch& branch : branches) {
    if (branch.product == branches.front().product) FetchBeginning(branch.module->*kind, bytes);
  }
}

void PackedProducts::MultiplyA(std::span<Branch> branches) {
  jobs_.clear();
  for (Branch& branch : branches) jobs_.push_back({.w = &branch.module->a, .x = branch.x, .y = branch.ax});
  AddProducts(jobs_, compute_);
  b_jobs_.clear();
  for (Branch& branch : branches) {
    const size_t rank = branch.adapter->rank();
    const size_t columns = branch.adapter->rank_columns();
    const size_t vectors = branch.ax.size() / rank;
    branch.padded.assign(vectors * columns, 0.0f);
    for (size_t t = 0; t < vectors; ++t) {
      for (size_t r = 0; r < rank; ++r) branch.padded[t * columns + r] = branch.adapter->scale() * branch.ax[t * rank + r];
    }
    branch.tiles.Fill(branch.padded, columns, {.quantized = true}, {.set = compute_.set});
    b_jobs_.push_back({.w = &branch.module->b, .x = &branch.tiles, .y = branch.y});
  }
}

// What was in y before is set aside, so that its place can take the sum that is to be multiplied.
void PackedProducts::SetAside(Branch& branch) {
  branch.before.assign(branch.y.begin(), branch.y.end());
  std::ranges::fill(branch.y, 0.0f);
}

void PackedProducts::Gain(const Branch& branch) const {
  const std::span<const float> gains = branch.module->gains;
  const size_t rows = gains.size();
  RunParts(compute_, branch.y.size() / rows, [&](size_t t) {
    const std::span<float> y = branch.y.subspan(t * rows, rows);
    for (size_t r = 0; r < rows; ++r) y[r] = branch.before[t * rows + r] + gains[r] * y[r];
  });
}

void PackedProducts::AddPlain(const PackedMatrix& w, std::span<const float> x, std::span<float> y) {
  VectorTiles::Forms forms;
  Need(w, forms);
  tiles_.Fill(x, w.columns, forms, compute_);
  const PackedProduct job = {.w = &w, .x = &tiles_, .y = y};
  AddProducts({&job, 1}, compute_);
}

}  // namespace fleetune
