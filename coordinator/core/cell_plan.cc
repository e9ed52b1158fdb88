#include "coordinator/core/cell_plan.h"

#include <algorithm>

#include "base/check.h"

namespace fleetune {

uint32_t SeatsOfNextCell(uint32_t waiting, uint32_t smallest, uint32_t largest) {
  CHECK(smallest >= 1 && smallest <= largest);
  const uint32_t cells = std::max(1u, (waiting + largest - 1) / largest);
  const uint32_t even = (waiting + cells - 1) / cells;
  return std::clamp(even, smallest, largest);
}

}  // namespace fleetune
