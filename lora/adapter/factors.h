#pragma once

#include <cstdint>

#include "lora/adapter/adapter_spec.h"

namespace fleetune {

// Which of an adapter's two factors something is about: what a training changes, what a delta or a step is of. Flat
// values of both are all of A, then all of B.
enum class Factors : uint8_t { kB = 0, kA, kBoth };  // values of formats

inline bool HasA(Factors factors) { return factors != Factors::kB; }
inline bool HasB(Factors factors) { return factors != Factors::kA; }

inline uint64_t FloatsOf(const AdapterSpec& spec, Factors factors) {
  return (HasA(factors) ? spec.a_size() : 0) + (HasB(factors) ? spec.b_size() : 0);
}

}  // namespace fleetune
