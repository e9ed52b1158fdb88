#pragma once

#include <string>

#include "absl/status/status.h"

namespace fleetune {

struct ServeOptions {
  std::string root;
  std::string listen;            // HOST:PORT; port 0: any free one
  std::string http;              // HOST:PORT of health and metrics; empty: none
  std::string log_level = "info";
};

// Serves until SIGTERM or SIGINT, then ends gracefully. When it is ready it prints "listening on HOST:PORT" and
// writes the same address to the file `listening` of the folder, and HOST:PORT of the first host to
// admin/address. Blocks those two signals; call before any thread is started.
//
// FailedPrecondition: the folder is not initialised, or another coordinator serves it. Unavailable: the port.
absl::Status Serve(const ServeOptions& options);

inline constexpr char kSoftwareVersion[] = "0.1.0";

}  // namespace fleetune
