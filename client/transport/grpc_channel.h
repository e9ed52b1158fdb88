#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>

namespace fleetune {

// A lazy channel to host:port. It tries again within 5 s: how long to leave a coordinator alone is decided by the
// agent, not by gRPC.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& host, uint16_t port,
                                           const grpc::SslCredentialsOptions& tls);

}  // namespace fleetune
