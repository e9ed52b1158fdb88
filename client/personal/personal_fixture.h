#pragma once

// For tests: a fleet's adapter and a personal one over a base of one layer.

#include <algorithm>
#include <limits>
#include <vector>

#include "base/random.h"
#include "client/personal/personal_adapter.h"

namespace fleetune {

inline BaseSizes SmallSizes() {
  BaseSizes sizes{.layers = 1};
  sizes.projections.fill({.in = 2, .out = 3});
  return sizes;
}

inline Adapter FleetAdapter(uint64_t seed = 1) {
  AdapterSpec spec = *AdapterSpec::Create(
      {.rank = 3, .alpha = 6, .targets = {Projection::kQ, Projection::kV}}, SmallSizes());
  SplitMix64 random(seed);
  std::vector<float> b(spec.b_size());
  for (float& value : b) value = static_cast<float>(random.NextUnit() - 0.5);
  std::vector<float> a = DeriveA(spec, seed);
  return *Adapter::Create(std::move(spec), std::move(a), std::move(b));
}

inline PersonalAdapter SomePersonal() {
  return {.task = "household",
          .base = Digest{{1, 2, 3}},
          .over_version = 7,
          .trained_at = FromMillis(1'700'000'000'123),
          .examples = 40,
          .loss_without = 2.5,
          .loss_with = 2.25,
          .rank = 2,
          .alpha = 8,
          .targets = {Projection::kQ, Projection::kV},
          .a = {1, 2, 3, 4, 5, 6, 7, 8},
          .b = {9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}};
}

}  // namespace fleetune
