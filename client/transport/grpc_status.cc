#include "client/transport/grpc_status.h"

#include <fmt/format.h>

namespace fleetune {

absl::Status FromGrpc(const grpc::Status& status, std::string_view call) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      fmt::format("{}: {}", call, status.error_message()));
}

}  // namespace fleetune
