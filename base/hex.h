#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace fleetune {

// Two lower-case digits a byte.
std::string ToHex(std::span<const uint8_t> bytes);

// Accepts both cases. InvalidArgument for an odd length or another character.
absl::StatusOr<std::vector<uint8_t>> FromHex(std::string_view hex);

}  // namespace fleetune
