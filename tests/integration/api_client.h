#pragma once

#include <cstdint>
#include <string>

#include "nlohmann/json.hpp"
#include "tests/integration/loopback_fleet.h"

namespace fleetune {

// A program that asks a running device's API over HTTP, with the device's token. A step that must work and does not fails the
// test.
class ApiClient {
 public:
  // Waits until the daemon listens, which was started so many times in this folder.
  ApiClient(const LoopbackFleet& fleet, const std::string& device, int starts = 1);

  // The body of a reply of 200.
  nlohmann::json Post(const std::string& path, const nlohmann::json& body) const;

 private:
  std::string token_;
  uint16_t port_ = 0;
};

}  // namespace fleetune
