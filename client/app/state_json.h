#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/core/device_state.h"

namespace fleetune {

// The agent's durable state as JSON text, and back. DataLoss for what FormatDeviceState did not write.
std::string FormatDeviceState(const DeviceState& state);
absl::StatusOr<DeviceState> ParseDeviceState(std::string_view text);

}  // namespace fleetune
