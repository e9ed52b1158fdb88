#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/admin/credentials.h"
#include "fleetune/v1/admin.grpc.pb.h"

namespace fleetune {

// An admin's connection to the coordinator over mutual TLS. Connects with the first call. Not thread-safe.
class AdminConnection {
 public:
  explicit AdminConnection(const AdminCredentials& credentials);

  const std::string& address() const { return address_; }
  v1::AdminService::Stub& stub() { return *stub_; }

  // One unary call: connection.Call(&v1::AdminService::Stub::GetStatus, request, &response).
  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (v1::AdminService::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response,
                    std::chrono::seconds timeout = std::chrono::seconds(30)) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    return FromGrpc((stub_.get()->*method)(&context, request, response));
  }

  // The same code; Unavailable says that the coordinator could not be reached, and where.
  absl::Status FromGrpc(const grpc::Status& status) const;

 private:
  const std::string address_;
  std::unique_ptr<v1::AdminService::Stub> stub_;
};

}  // namespace fleetune
