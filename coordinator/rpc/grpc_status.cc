#include "coordinator/rpc/grpc_status.h"

#include <string>

namespace fleetune {

grpc::Status ToGrpc(const absl::Status& status) {
  constexpr size_t kMaxMessageBytes = 1024;
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.raw_code()),
                      std::string(status.message().substr(0, kMaxMessageBytes)));
}

}  // namespace fleetune
