#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "inference/server/api_service.h"
#include "inference/server/listen_address.h"

namespace fleetune {

// The API over HTTP/1.1 on loopback, with threads of its own. Every path but GET /health asks for the token. What is wrong with
// a request is answered in OpenAI's format; a full queue with 429 and Retry-After; an answer whose connection is cut is not
// made to its end.
class HttpServer {
 public:
  struct Options {
    LoopbackAddress listen;
    std::string token;  // not empty
  };
  // Listens when it returns. `service` is borrowed. Unavailable if the port is taken.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(ApiService& service, const Options& options);
  // Closes the service, ends answers as they are, and waits for its threads: some seconds at most.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const { return port_; }

 private:
  class Routes;
  HttpServer(std::unique_ptr<Routes> routes, uint16_t port);

  std::unique_ptr<Routes> routes_;
  uint16_t port_;
};

}  // namespace fleetune
