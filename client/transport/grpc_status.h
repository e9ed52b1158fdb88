#pragma once

#include <string_view>

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace fleetune {

// The same code (gRPC's codes are Abseil's), the message with the call's name before it.
absl::Status FromGrpc(const grpc::Status& status, std::string_view call);

}  // namespace fleetune
