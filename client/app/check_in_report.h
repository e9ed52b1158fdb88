#pragma once

#include <vector>

#include "client/app/daemon_stores.h"
#include "client/app/settings.h"
#include "client/core/agent.h"
#include "client/core/check_in.h"

namespace fleetune {

// What a daemon says of its device at a check-in. `served`: the versions that prompts are answered with. Of examples it tells
// how many there are under each tag; a device whose examples cannot be read is not ready to train, and the log says why.
CheckInReport ReportOf(const DeviceBudget& budget, const DeviceConditions& conditions,
                       const std::vector<ServedVersion>& served, DaemonStores& stores);

}  // namespace fleetune
