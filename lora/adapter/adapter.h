#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "lora/adapter/adapter_spec.h"

namespace fleetune {

// The weights of one adapter, in f32, flat, in the order of its spec.
//
// Of a module, `a` holds `rank` rows of `in` floats, and `b` holds `rank` rows of `out` floats: B is
// stored BY RANK (row j of `b` is column j of the matrix B of the papers), so the first r rows are
// the adapter of rank r, and B z is a sum of rows. Plain data: copy, share as shared_ptr<const>.
//
// Of a DoRA adapter (Liu et al. 2024) `magnitudes` hold `out` floats of each module: what the norms of the rows of W + s B A
// become, so that y = m / ||W + s B A|| * (W x + s B A x), row by row. A module whose magnitudes are all zero has none: it is
// plain LoRA, as a target in a layer that the adapter leaves out.
class Adapter {
 public:
  // InvalidArgument if a size does not fit `spec` or a value is not finite. Magnitudes are of spec.dora() alone.
  static absl::StatusOr<Adapter> Create(AdapterSpec spec, std::vector<float> a, std::vector<float> b,
                                        std::vector<float> magnitudes = {});

  // Version 0 of a task: A from `seed` (DeriveA), B zero, so it changes nothing yet. Requires a spec
  // without magnitudes, which follow from no seed; checked.
  static Adapter Initial(AdapterSpec spec, uint64_t seed);

  const AdapterSpec& spec() const { return spec_; }
  std::span<const float> a() const { return a_; }
  std::span<const float> b() const { return b_; }
  std::span<const float> a(const LoraModule& module) const;
  std::span<const float> b(const LoraModule& module) const;
  std::span<const float> magnitudes() const { return magnitudes_; }  // empty without DoRA
  std::span<const float> magnitudes(const LoraModule& module) const;  // empty if it has none

 private:
  Adapter(AdapterSpec spec, std::vector<float> a, std::vector<float> b, std::vector<float> magnitudes)
      : spec_(std::move(spec)), a_(std::move(a)), b_(std::move(b)), magnitudes_(std::move(magnitudes)) {}

  AdapterSpec spec_;
  std::vector<float> a_;
  std::vector<float> b_;
  std::vector<float> magnitudes_;
};

// The A that all devices of a task share, from its seed: SplitMix64 (base/random.h) seeded with
// `seed`, one 64-bit output a value in the order of the spec; value = (2 u - 1) / sqrt(in) with u
// the top 24 bits as a fraction. Uniform in [-1/sqrt(in), 1/sqrt(in)) as PEFT's default; exact f32
// arithmetic, so the same bits on every machine.
std::vector<float> DeriveA(const AdapterSpec& spec, uint64_t seed);

}  // namespace fleetune
