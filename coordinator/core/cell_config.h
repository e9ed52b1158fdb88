#pragma once

#include <cstdint>

#include "aggregation/secagg/session_config.h"
#include "base/random.h"
#include "coordinator/core/fleet_state.h"

namespace fleetune {

// What a new cell is made from. Borrows both.
struct CellSource {
  const FleetTask& task;
  const OpenRound& round;
  uint32_t number = 1;   // of the cell within the round
  uint32_t waiting = 0;  // devices that may still take a seat
};

// What the coordinator says of the cell, and signs. `random`: for its nonce. Valid for a valid task.
secagg::SessionConfig MakeCellConfig(const CellSource& source, RandomSource& random);

}  // namespace fleetune
