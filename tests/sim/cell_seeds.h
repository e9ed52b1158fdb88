#pragma once

#include <cstdint>

namespace fleetune {

struct CellSeeds {
  uint64_t first = 0;
  uint64_t count = 1000;
  bool verbose = false;  // a line for each
};

// Runs the CellWorld of each seed; prints what was not as it must be, and at the end what all of them saw. How many
// seeds failed.
uint64_t RunCellSeeds(const CellSeeds& seeds);

}  // namespace fleetune
