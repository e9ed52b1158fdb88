#include "lora/formats/lora_pair.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

absl::Status CheckPair(const LoraPair& pair) {
  const std::string module =
      std::string(ProjectionName(pair.projection)) + " in layer " + std::to_string(pair.layer);
  const auto is_zero = [](float value) { return value == 0; };
  if (!pair.magnitude.empty() && std::ranges::all_of(pair.magnitude, is_zero)) {
    return absl::InvalidArgumentError(module + " is DoRA whose magnitudes are all zero: expected norms of rows");
  }
  if (std::isfinite(pair.alpha) && pair.alpha > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(module + ": expected an alpha above 0, got " + std::to_string(pair.alpha));
}

// B of `pair`, out x rank, into rows by rank, times `factor`.
void TransposeInto(const LoraPair& pair, double factor, std::span<float> by_rank) {
  const uint64_t out = pair.b.size() / pair.rank;
  for (uint64_t row = 0; row < out; ++row) {
    for (uint64_t j = 0; j < pair.rank; ++j) {
      const float value = pair.b[row * pair.rank + j];
      by_rank[j * out + row] = factor == 1 ? value : static_cast<float>(factor * static_cast<double>(value));
    }
  }
}

// The pair of the largest rank, of equals the first, gives rank and alpha.
absl::StatusOr<AdapterSpec> SpecOf(const std::vector<LoraPair>& pairs, const BaseSizes& base) {
  std::set<Projection> targets;
  for (const LoraPair& pair : pairs) targets.insert(pair.projection);
  AdapterSpec::Options options{
      .targets = {targets.begin(), targets.end()},
      .dora = std::ranges::any_of(pairs, [](const LoraPair& pair) { return !pair.magnitude.empty(); })};
  const auto largest = std::ranges::max_element(pairs, {}, &LoraPair::rank);
  if (largest != pairs.end()) {
    options.rank = largest->rank;
    options.alpha = largest->alpha;
  }
  return AdapterSpec::Create(options, base);
}

}  // namespace

absl::StatusOr<Adapter> AssembleAdapter(const std::vector<LoraPair>& pairs, const BaseSizes& base) {
  for (const LoraPair& pair : pairs) RETURN_IF_ERROR(CheckPair(pair));
  ASSIGN_OR_RETURN(const AdapterSpec spec, SpecOf(pairs, base));
  std::vector<float> a(spec.a_size());
  std::vector<float> b(spec.b_size());
  std::vector<float> magnitudes(spec.magnitudes_size());
  std::set<const LoraModule*> filled;
  for (const LoraPair& pair : pairs) {
    const LoraModule* const module = spec.Find(pair.layer, pair.projection);
    CHECK(module != nullptr && filled.insert(module).second);
    CHECK(pair.a.size() == uint64_t{pair.rank} * module->in && pair.b.size() == uint64_t{pair.rank} * module->out);
    const bool same_scale = pair.rank == spec.rank() && pair.alpha == spec.alpha();
    const double factor =
        same_scale ? 1.0 : pair.scale() / (static_cast<double>(spec.alpha()) / spec.rank());
    std::ranges::copy(pair.a, a.begin() + static_cast<ptrdiff_t>(module->a_offset));
    TransposeInto(pair, factor, std::span(b).subspan(module->b_offset, pair.b.size()));
    CHECK(pair.magnitude.empty() || pair.magnitude.size() == module->out);
    if (pair.magnitude.empty()) continue;
    std::ranges::copy(pair.magnitude, magnitudes.begin() + static_cast<ptrdiff_t>(module->b_offset / spec.rank()));
  }
  return Adapter::Create(spec, std::move(a), std::move(b), std::move(magnitudes));
}

std::vector<LoraPair> SplitAdapter(const Adapter& adapter) {
  const uint32_t rank = adapter.spec().rank();
  std::vector<LoraPair> pairs;
  for (const LoraModule& module : adapter.spec().modules()) {
    const std::span<const float> a = adapter.a(module);
    const std::span<const float> b = adapter.b(module);
    const std::span<const float> magnitude = adapter.magnitudes(module);
    LoraPair pair{.layer = module.layer,
                  .projection = module.projection,
                  .rank = rank,
                  .alpha = adapter.spec().alpha(),
                  .a = {a.begin(), a.end()},
                  .b = std::vector<float>(b.size()),
                  .magnitude = {magnitude.begin(), magnitude.end()}};
    for (uint64_t row = 0; row < module.out; ++row) {
      for (uint64_t j = 0; j < rank; ++j) pair.b[row * rank + j] = b[j * module.out + row];
    }
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

}  // namespace fleetune
