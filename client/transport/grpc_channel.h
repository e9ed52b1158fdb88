#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>

namespace fleetune {

// A lazy channel to host:port, which shares no connection with another.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& host, uint16_t port,
                                           const grpc::SslCredentialsOptions& tls);

}  // namespace fleetune
