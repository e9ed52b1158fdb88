#include "client/transport/grpc_channel.h"

#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

namespace fleetune {

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& host, uint16_t port,
                                           const grpc::SslCredentialsOptions& tls) {
  const bool ipv6 = host.find(':') != std::string::npos;
  const std::string target = ipv6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // each channel makes a connection of its own
  return grpc::CreateCustomChannel(target, grpc::SslCredentials(tls), arguments);
}

}  // namespace fleetune
