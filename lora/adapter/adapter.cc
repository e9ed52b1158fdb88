#include "lora/adapter/adapter.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

absl::Status CheckValues(const char* name, std::span<const float> values, uint64_t expected) {
  if (values.size() != expected) {
    return absl::InvalidArgumentError(std::string(name) + ": expected " + std::to_string(expected) +
                                      " values, got " + std::to_string(values.size()));
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      return absl::InvalidArgumentError(std::string(name) + ": value " + std::to_string(i) +
                                        " is not finite");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Adapter> Adapter::Create(AdapterSpec spec, std::vector<float> a, std::vector<float> b,
                                        std::vector<float> magnitudes) {
  RETURN_IF_ERROR(CheckValues("A", a, spec.a_size()));
  RETURN_IF_ERROR(CheckValues("B", b, spec.b_size()));
  RETURN_IF_ERROR(CheckValues("magnitudes", magnitudes, spec.magnitudes_size()));
  return Adapter(std::move(spec), std::move(a), std::move(b), std::move(magnitudes));
}

Adapter Adapter::Initial(AdapterSpec spec, uint64_t seed) {
  CHECK(!spec.dora());
  std::vector<float> a = DeriveA(spec, seed);
  std::vector<float> b(spec.b_size(), 0.0f);
  return Adapter(std::move(spec), std::move(a), std::move(b), {});
}

std::span<const float> Adapter::a(const LoraModule& module) const {
  CHECK(module.a_offset + uint64_t{spec_.rank()} * module.in <= a_.size());
  return std::span(a_).subspan(module.a_offset, uint64_t{spec_.rank()} * module.in);
}

std::span<const float> Adapter::b(const LoraModule& module) const {
  CHECK(module.b_offset + uint64_t{spec_.rank()} * module.out <= b_.size());
  return std::span(b_).subspan(module.b_offset, uint64_t{spec_.rank()} * module.out);
}

std::span<const float> Adapter::magnitudes(const LoraModule& module) const {
  if (magnitudes_.empty()) return {};
  const uint64_t offset = module.b_offset / spec_.rank();
  CHECK(offset + module.out <= magnitudes_.size());
  const std::span<const float> found = std::span(magnitudes_).subspan(offset, module.out);
  return std::ranges::all_of(found, [](float value) { return value == 0; }) ? std::span<const float>() : found;
}

std::vector<float> DeriveA(const AdapterSpec& spec, uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<float> a(spec.a_size());
  for (const LoraModule& module : spec.modules()) {
    const float bound = std::sqrt(static_cast<float>(module.in));
    const uint64_t end = module.a_offset + uint64_t{spec.rank()} * module.in;
    for (uint64_t i = module.a_offset; i < end; ++i) {
      // 2 u - 1 is a multiple of 2^-23 below 1 in size: exact. Root and quotient are rounded
      // once each, as IEEE 754 says, on every machine.
      const float u = static_cast<float>(random.Next() >> 40) * 0x1p-24f;
      a[i] = (2 * u - 1) / bound;
    }
  }
  return a;
}

}  // namespace fleetune
