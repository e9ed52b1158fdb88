#pragma once

#include <cstdint>

namespace fleetune {

// How many seats the next cell of a round has, when `waiting` devices may still take one: all of them if they are at
// most `largest`, else an even part of them, so that no cell is left with fewer than `smallest`.
// Requires 1 <= smallest <= largest; at least `smallest`.
uint32_t SeatsOfNextCell(uint32_t waiting, uint32_t smallest, uint32_t largest);

}  // namespace fleetune
