#pragma once

#include <span>

namespace fleetune {

// x = H x in place, where H is the Walsh-Hadamard matrix of +1 and -1 in natural order: H[i][j] = (-1)^popcount(i & j).
// Not normalized: applied twice it multiplies by x.size().
//
// Requires that x.size() is a power of two; checked. Each result is a tree of log2(size) additions whose order does not
// depend on the machine. Thread-safe. Does not allocate.
void WalshHadamard(std::span<float> x);

}  // namespace fleetune
