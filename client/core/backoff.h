#pragma once

#include <chrono>
#include <cstdint>

#include "base/random.h"

namespace fleetune {

// How long to leave a coordinator in peace that cannot be reached.
struct BackoffOptions {
  std::chrono::milliseconds first = std::chrono::seconds(1);
  std::chrono::milliseconds most = std::chrono::minutes(5);
};

// After the `failures`th failure in a row (from 1): first, twice that, ... up to `most`, of which the second half
// is random, so that a fleet that lost its coordinator does not come back at once.
std::chrono::milliseconds BackoffDelay(uint32_t failures, const BackoffOptions& options, RandomSource& random);

}  // namespace fleetune
