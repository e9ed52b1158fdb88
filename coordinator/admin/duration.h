#pragma once

#include <chrono>
#include <string_view>

#include "absl/status/statusor.h"

namespace fleetune {

// "90s", "30m", "24h", "7d". InvalidArgument for anything else, zero, or more than 10 years.
absl::StatusOr<std::chrono::seconds> ParseDuration(std::string_view text);

}  // namespace fleetune
