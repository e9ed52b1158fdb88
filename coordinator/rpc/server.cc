#include "coordinator/rpc/server.h"

#include <cstdlib>

#include <fmt/format.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include "base/files.h"
#include "base/status_macros.h"
#include "coordinator/rpc/admin_service.h"
#include "coordinator/rpc/device_service.h"
#include "coordinator/rpc/enrollment_service.h"
#include "coordinator/rpc/message_limits.h"

namespace fleetune {
namespace {

constexpr uint64_t kMaxPemBytes = 256 * 1024;
// A device has one call open at a time, an admin a few.
constexpr int kMaxStreamsPerConnection = 16;
// What gRPC may hold for all calls: some hundred chunks on their way in.
constexpr size_t kMaxGrpcMemoryBytes = 256u << 20;
constexpr int kMaxGrpcThreads = 64;
constexpr int kKeepaliveMillis = 60'000;
constexpr int kMinPingMillis = 20'000;
// Devices that said nothing for so long are gone or behind a box that forgot them; they connect again.
constexpr int kMaxIdleMillis = 10 * 60'000;

absl::Status CheckPemFile(const std::string& path) { return ReadFile(path, kMaxPemBytes).status(); }

std::shared_ptr<grpc::ServerCredentials> Credentials(const ServerOptions& options) {
  using grpc::experimental::FileWatcherCertificateProvider;
  auto files = std::make_shared<FileWatcherCertificateProvider>(
      options.key_path, options.certificate_path, options.ca_path,
      static_cast<unsigned int>(std::max<int64_t>(1, options.reload_every.count())));
  grpc::experimental::TlsServerCredentialsOptions tls(std::move(files));
  tls.watch_root_certs();
  tls.watch_identity_key_cert_pairs();
  // Enrolling devices have none yet; one that is shown must be of our CA.
  tls.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(tls);
}

void SetLimits(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.SetResourceQuota(
      grpc::ResourceQuota("coordinator").Resize(kMaxGrpcMemoryBytes).SetMaxThreads(kMaxGrpcThreads));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinPingMillis);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kMaxIdleMillis);
  // A second coordinator on the same port is a mistake, never load balancing.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

}  // namespace

struct CoordinatorServer::State {
  explicit State(const ServicePorts& ports) : enrollment(ports), device(ports), admin(ports) {}

  EnrollmentServiceImpl enrollment;
  DeviceServiceImpl device;
  AdminServiceImpl admin;
  int port = 0;
  std::unique_ptr<grpc::Server> server;  // last: ends first
};

void AllowOnlyTls13() { setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES256-GCM-SHA384", 1); }

void KeepGrpcQuiet() { setenv("GRPC_VERBOSITY", "NONE", 0); }

absl::StatusOr<std::unique_ptr<CoordinatorServer>> CoordinatorServer::Start(const ServerOptions& options,
                                                                            const ServicePorts& ports) {
  AllowOnlyTls13();
  RETURN_IF_ERROR(CheckPemFile(options.key_path));
  RETURN_IF_ERROR(CheckPemFile(options.certificate_path));
  RETURN_IF_ERROR(CheckPemFile(options.ca_path));
  auto state = std::make_unique<State>(ports);
  grpc::ServerBuilder builder;
  SetLimits(builder);
  builder.AddListeningPort(options.listen, Credentials(options), &state->port);
  builder.RegisterService(&state->enrollment);
  builder.RegisterService(&state->device);
  builder.RegisterService(&state->admin);
  state->server = builder.BuildAndStart();
  if (state->server == nullptr || state->port == 0) {
    return absl::UnavailableError(
        fmt::format("cannot listen on {}: the address is not of this machine, or another program has the port",
                    options.listen));
  }
  return std::unique_ptr<CoordinatorServer>(new CoordinatorServer(std::move(state)));
}

CoordinatorServer::CoordinatorServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

CoordinatorServer::~CoordinatorServer() { Shutdown(std::chrono::milliseconds(0)); }

int CoordinatorServer::port() const { return state_->port; }

void CoordinatorServer::Shutdown(std::chrono::milliseconds patience) {
  if (state_->server == nullptr) return;
  state_->server->Shutdown(std::chrono::system_clock::now() + patience);
  state_->server->Wait();
  state_->server.reset();
}

}  // namespace fleetune
