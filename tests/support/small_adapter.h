#pragma once

// For tests: an adapter of a few kilobytes over a base of two layers with odd sizes.

#include <vector>

#include "base/random.h"
#include "lora/adapter/adapter.h"
#include "lora/formats/adapter_file.h"

namespace fleetune {

inline AdapterBase SmallBase(bool permuted_qk = true) {
  AdapterBase base{.sizes = {.layers = 2},
                   .architecture = permuted_qk ? "llama" : "qwen2",
                   .heads = 2,
                   .kv_heads = 1,
                   .permuted_qk = permuted_qk};
  for (ProjectionSizes& sizes : base.sizes.projections) sizes = {.in = 6, .out = 8};
  base.sizes.projections[static_cast<size_t>(Projection::kK)].out = 4;
  base.sizes.projections[static_cast<size_t>(Projection::kDown)] = {.in = 9, .out = 6};
  return base;
}

enum class Magnitudes { kNone, kAll };

inline Adapter RandomAdapter(const AdapterBase& base, uint64_t seed = 1, Magnitudes magnitudes = Magnitudes::kNone) {
  std::vector<Projection> targets;
  for (size_t i = 0; i < kNumProjections; ++i) targets.push_back(static_cast<Projection>(i));
  const AdapterSpec spec = *AdapterSpec::Create(
      {.rank = 3, .alpha = 0.7f, .targets = targets, .dora = magnitudes == Magnitudes::kAll}, base.sizes);
  SplitMix64 random(seed);
  std::vector<float> b(spec.b_size());
  for (float& value : b) value = static_cast<float>(random.NextUnit() - 0.5);
  b[0] = -0.0f;
  std::vector<float> m(spec.magnitudes_size());
  for (float& value : m) value = static_cast<float>(0.5 + random.NextUnit());
  return *Adapter::Create(spec, DeriveA(spec, seed), b, m);
}

}  // namespace fleetune
