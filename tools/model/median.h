#pragma once

#include <algorithm>
#include <vector>

namespace fleetune {

// The middle one of them; of an even number, the upper of both. Requires at least one.
inline double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

}  // namespace fleetune
