#include "aggregation/encode/stochastic_rounding.h"

#include <algorithm>

#include "base/check.h"

namespace fleetune {

void StochasticRounder::Refill(size_t still_needed) {
  CHECK(still_needed > 0);
  filled_ = std::min(still_needed, draws_.size());
  random_.Fill({reinterpret_cast<uint8_t*>(draws_.data()), filled_ * sizeof(uint32_t)});
  next_ = 0;
}

}  // namespace fleetune
