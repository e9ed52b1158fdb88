#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/rpc/ports.h"

namespace fleetune {

struct ServerOptions {
  std::string listen;  // HOST:PORT; port 0: any free one
  // PEM files. Key and certificate are read again when they change, so a renewed certificate needs no restart.
  std::string key_path;
  std::string certificate_path;  // the server's, then the CA's: enrolling devices look for the CA in the chain
  std::string ca_path;
  std::chrono::seconds reload_every = std::chrono::minutes(1);
};

// From now on this process negotiates TLS 1.3 only, in every gRPC server and channel. gRPC 1.51 has no public
// setting for the lowest version. What it has is the list of cipher suites of TLS 1.2 (those of 1.3 are another
// list): this leaves it a single suite that works with a pre-shared key only, and no program here has one, so a
// TLS 1.2 handshake ends with "no shared cipher". Call before the first use of gRPC and before threads; again does
// nothing more.
void AllowOnlyTls13();

// gRPC's own lines on standard error, in its own format, stay away unless GRPC_VERBOSITY is set already. As above.
void KeepGrpcQuiet();

// The coordinator's gRPC server: enrolment, device and admin services over TLS 1.3. A client certificate is asked for
// and, if shown, must be of the fleet's CA; each service then decides whether it needs one.
class CoordinatorServer {
 public:
  // Listens and serves. Unavailable if it cannot listen (the port is taken, no such address); NotFound or
  // InvalidArgument for the PEM files. What `ports` points to must outlive the server.
  static absl::StatusOr<std::unique_ptr<CoordinatorServer>> Start(const ServerOptions& options,
                                                                  const ServicePorts& ports);

  // Shut down at once if Shutdown was not called.
  ~CoordinatorServer();

  int port() const;  // the real one

  // Takes no new calls; open ones get `patience`, then they are cancelled. The strands must run meanwhile.
  void Shutdown(std::chrono::milliseconds patience);

 private:
  struct State;
  explicit CoordinatorServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fleetune
