#pragma once

#include <nlohmann/json.hpp>

#include "client/app/device_folder.h"

namespace fleetune {

// A list: of each task with a personal adapter what it was trained from, what it is worth, and the same in words for
// people; of one that cannot be read, why.
nlohmann::json PersonalFacts(const DeviceFolder& folder);

}  // namespace fleetune
