#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace fleetune {

// An address that only programs of the same machine reach.
struct LoopbackAddress {
  std::string host;   // "127.0.0.1" or "::1"
  uint16_t port = 0;  // 0: any that is free
};

// "127.0.0.1:8080", "localhost:8080" (which is 127.0.0.1) or "[::1]:8080". InvalidArgument for anything else: the API is not
// made for the network.
absl::StatusOr<LoopbackAddress> ParseLoopbackAddress(std::string_view text);

}  // namespace fleetune
