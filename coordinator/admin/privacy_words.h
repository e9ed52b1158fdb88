#pragma once

#include <string>

#include "fleetune/v1/admin.pb.h"

namespace fleetune {

// What sums with noise have cost, for people: "3.2 of 8 for the device that was in most cells, 4 (delta 1e-06); ...".
std::string SpentInWords(const v1::PrivacySummary& privacy);

// The round's own part: "2.1 for each cell that a device is in; 1 was charged".
std::string RoundSpentInWords(const v1::RoundSummary& round);

}  // namespace fleetune
