#include "lora/adapter/joined.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/status_macros.h"

namespace fleetune {
namespace {

absl::Status CheckOneBase(const BaseSizes& above, const BaseSizes& below) {
  if (above.layers != below.layers) {
    return absl::InvalidArgumentError("adapters of one base model are joined: one is for " +
                                      std::to_string(above.layers) + " layers, the other for " +
                                      std::to_string(below.layers));
  }
  for (size_t i = 0; i < kNumProjections; ++i) {
    if (above.projections[i].in == below.projections[i].in && above.projections[i].out == below.projections[i].out) {
      continue;
    }
    return absl::InvalidArgumentError("adapters of one base model are joined: their sizes of " +
                                      std::string(ProjectionName(static_cast<Projection>(i))) + " differ");
  }
  return absl::OkStatus();
}

// Rows of one factor of `from`, put behind `skipped` rows of each module of `spec`, times `factor`.
struct Place {
  const AdapterSpec& spec;
  uint32_t skipped = 0;
  double factor = 1;
};

void Put(const Adapter& from, const Place& place, std::vector<float>& a, std::vector<float>& b) {
  for (const LoraModule& module : place.spec.modules()) {
    const LoraModule* source = from.spec().Find(module.layer, module.projection);
    if (source == nullptr) continue;  // zeros
    const std::span<const float> from_a = from.a(*source), from_b = from.b(*source);
    std::ranges::copy(from_a, a.begin() + static_cast<ptrdiff_t>(module.a_offset + uint64_t{place.skipped} * module.in));
    std::ranges::transform(
        from_b, b.begin() + static_cast<ptrdiff_t>(module.b_offset + uint64_t{place.skipped} * module.out),
        [&place](float value) { return static_cast<float>(static_cast<double>(value) * place.factor); });
  }
}

}  // namespace

absl::StatusOr<AdapterSpec> JoinedSpec(const AdapterSpec& above, const AdapterSpec& below) {
  RETURN_IF_ERROR(CheckOneBase(above.base(), below.base()));
  if (above.dora() || below.dora()) {
    return absl::InvalidArgumentError(std::string("adapters are joined without magnitudes: the ") +
                                      (above.dora() ? "upper" : "lower") +
                                      " one is DoRA, which can be used alone, or merged into its base first");
  }
  const uint32_t rank = above.rank() + below.rank();
  if (rank > kMaxAdapterRank) {
    return absl::InvalidArgumentError("adapters of ranks " + std::to_string(above.rank()) + " and " +
                                      std::to_string(below.rank()) + " cannot be joined: at most " +
                                      std::to_string(kMaxAdapterRank) + " ranks together");
  }
  AdapterSpec::Options options{.rank = rank,
                               .alpha = static_cast<float>(static_cast<double>(above.scale()) * rank),
                               .targets = above.targets()};
  for (const Projection target : below.targets()) {
    if (std::ranges::find(options.targets, target) == options.targets.end()) options.targets.push_back(target);
  }
  return AdapterSpec::Create(options, above.base());
}

absl::StatusOr<Adapter> Joined(const Adapter& above, const Adapter& below) {
  ASSIGN_OR_RETURN(AdapterSpec spec, JoinedSpec(above.spec(), below.spec()));
  std::vector<float> a(spec.a_size()), b(spec.b_size());
  Put(above, {.spec = spec}, a, b);
  Put(below,
      {.spec = spec,
       .skipped = above.spec().rank(),
       .factor = static_cast<double>(below.spec().scale()) / static_cast<double>(spec.scale())},
      a, b);
  return Adapter::Create(std::move(spec), std::move(a), std::move(b));
}

absl::StatusOr<Adapter> AboveOf(const Adapter& joined, const AdapterSpec& above) {
  RETURN_IF_ERROR(CheckOneBase(above.base(), joined.spec().base()));
  if (joined.spec().rank() < above.rank()) {
    return absl::InvalidArgumentError("a joined adapter of rank " + std::to_string(joined.spec().rank()) +
                                      " holds none of rank " + std::to_string(above.rank()));
  }
  std::vector<float> a, b;
  a.reserve(above.a_size());
  b.reserve(above.b_size());
  for (const LoraModule& module : above.modules()) {
    const LoraModule* source = joined.spec().Find(module.layer, module.projection);
    if (source == nullptr) {
      return absl::InvalidArgumentError("the joined adapter does not change " +
                                        std::string(ProjectionName(module.projection)));
    }
    const auto first_a = joined.a(*source).first(uint64_t{above.rank()} * module.in);
    const auto first_b = joined.b(*source).first(uint64_t{above.rank()} * module.out);
    a.insert(a.end(), first_a.begin(), first_a.end());
    b.insert(b.end(), first_b.begin(), first_b.end());
  }
  return Adapter::Create(above, std::move(a), std::move(b));
}

}  // namespace fleetune
