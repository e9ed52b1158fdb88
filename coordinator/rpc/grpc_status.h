#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace fleetune {

// The same code (absl's are gRPC's); the message, cut at 1 KiB, since it travels in a header.
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace fleetune
