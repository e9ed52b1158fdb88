#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "base/crypto/curve_kernel.h"
#include "base/crypto/secret.h"
#include "base/crypto/x25519.h"

namespace fleetune {

// What `mine` and each of many other keys agree on: result i is mine.Agree(peers[i]), also where that is an error. For
// any number of peers; the kernel of eight lanes takes a sixth of the time of as many calls of Agree. The time
// depends on the number of peers alone. Copies of secrets are wiped. Thread-safe. Requires a supported `kernel`;
// checked.
std::vector<absl::StatusOr<Secret32>> AgreeWithEach(const X25519Key& mine,
                                                    std::span<const std::array<uint8_t, 32>> peers,
                                                    CurveKernel kernel = BestCurveKernel());

}  // namespace fleetune
