#include "lora/adapter/adapter_spec.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr std::array<std::string_view, kNumProjections> kNames = {"q",    "k",  "v",   "o",
                                                                  "gate", "up", "down"};

absl::Status CheckTargets(const std::vector<Projection>& sorted) {
  if (sorted.empty()) return absl::InvalidArgumentError("targets: expected at least one, got none");
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (static_cast<size_t>(sorted[i]) >= kNumProjections) {
      return absl::InvalidArgumentError("targets: " + std::to_string(static_cast<int>(sorted[i])) +
                                        " is no projection");
    }
    if (i > 0 && sorted[i] == sorted[i - 1]) {
      return absl::InvalidArgumentError("targets: " + std::string(ProjectionName(sorted[i])) +
                                        " is named twice");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckFeatures(Projection projection, const char* side, uint32_t features) {
  if (features >= 1 && features <= kMaxAdapterFeatures) return absl::OkStatus();
  return absl::InvalidArgumentError(std::string(ProjectionName(projection)) + ": expected 1 to " +
                                    std::to_string(kMaxAdapterFeatures) + " " + side +
                                    " features, got " + std::to_string(features));
}

}  // namespace

std::string_view ProjectionName(Projection projection) {
  const auto index = static_cast<size_t>(projection);
  CHECK(index < kNumProjections);
  return kNames[index];
}

std::optional<Projection> ProjectionFromName(std::string_view name) {
  for (size_t i = 0; i < kNumProjections; ++i) {
    if (kNames[i] == name) return static_cast<Projection>(i);
  }
  return std::nullopt;
}

float RankStabilizedAlpha(float alpha, uint32_t rank) {
  return static_cast<float>(static_cast<double>(alpha) * std::sqrt(static_cast<double>(rank)));
}

absl::StatusOr<AdapterSpec> AdapterSpec::Create(const Options& options, const BaseSizes& base) {
  if (options.rank < 1 || options.rank > kMaxAdapterRank) {
    return absl::InvalidArgumentError("rank: expected 1 to " + std::to_string(kMaxAdapterRank) +
                                      ", got " + std::to_string(options.rank));
  }
  if (!std::isfinite(options.alpha) || options.alpha <= 0) {
    return absl::InvalidArgumentError("alpha: expected a finite number above 0, got " +
                                      std::to_string(options.alpha));
  }
  if (base.layers < 1 || base.layers > kMaxAdapterLayers) {
    return absl::InvalidArgumentError("layers: expected 1 to " + std::to_string(kMaxAdapterLayers) +
                                      ", got " + std::to_string(base.layers));
  }
  AdapterSpec spec;
  spec.rank_ = options.rank;
  spec.alpha_ = options.alpha;
  spec.base_ = base;
  spec.targets_ = options.targets;
  spec.dora_ = options.dora;
  std::sort(spec.targets_.begin(), spec.targets_.end());
  RETURN_IF_ERROR(CheckTargets(spec.targets_));
  for (const Projection target : spec.targets_) {
    const ProjectionSizes& sizes = base.projections[static_cast<size_t>(target)];
    RETURN_IF_ERROR(CheckFeatures(target, "input", sizes.in));
    RETURN_IF_ERROR(CheckFeatures(target, "output", sizes.out));
  }
  // 2^9 layers * 7 * 2^8 ranks * 2^18 features < 2^64: these sums cannot wrap.
  for (uint32_t layer = 0; layer < base.layers; ++layer) {
    for (const Projection target : spec.targets_) {
      const ProjectionSizes& sizes = base.projections[static_cast<size_t>(target)];
      spec.modules_.push_back({.layer = layer,
                               .projection = target,
                               .in = sizes.in,
                               .out = sizes.out,
                               .a_offset = spec.a_size_,
                               .b_offset = spec.b_size_});
      spec.a_size_ += uint64_t{spec.rank_} * sizes.in;
      spec.b_size_ += uint64_t{spec.rank_} * sizes.out;
    }
  }
  for (const uint64_t size : {spec.a_size_, spec.b_size_}) {
    if (size > kMaxAdapterParameters) {
      return absl::InvalidArgumentError("rank: A or B would have " + std::to_string(size) +
                                        " parameters; at most " +
                                        std::to_string(kMaxAdapterParameters) + " are allowed");
    }
  }
  return spec;
}

const LoraModule* AdapterSpec::Find(uint32_t layer, Projection projection) const {
  if (layer >= base_.layers) return nullptr;
  const auto at = std::lower_bound(targets_.begin(), targets_.end(), projection);
  if (at == targets_.end() || *at != projection) return nullptr;
  return &modules_[layer * targets_.size() + static_cast<size_t>(at - targets_.begin())];
}

// Modules and sizes follow from the rest, and of `base_` only the targets' sizes matter.
bool AdapterSpec::operator==(const AdapterSpec& other) const {
  return rank_ == other.rank_ && alpha_ == other.alpha_ && dora_ == other.dora_ && modules_ == other.modules_;
}

}  // namespace fleetune
