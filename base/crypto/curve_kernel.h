#pragma once

#include <cstdint>

namespace fleetune {

// What computes many X25519 agreements, or verifies many Ed25519 signatures, at once; all give the same results.
enum class CurveKernel : uint8_t {
  kOpenssl,  // one after the other: on every machine
  kIfma512,  // eight side by side: x86 with AVX-512F, AVX-512DQ and AVX-512 IFMA
};

// Whether this processor and its operating system can run it.
bool IsSupported(CurveKernel kernel);
// The fastest that is supported.
CurveKernel BestCurveKernel();

}  // namespace fleetune
