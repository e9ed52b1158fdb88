#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "client/core/ports.h"

namespace fleetune {

// Where the coordinator is, and who this device is to it. Holds a secret: never log it.
struct ChannelCredentials {
  std::string host;
  uint16_t port = 0;
  std::string ca_pem;
  std::string key_pem;          // of the device
  std::string certificate_pem;  // of the device
};

struct CallDeadlines {
  std::chrono::milliseconds small = std::chrono::seconds(10);
  std::chrono::milliseconds transfer = std::chrono::seconds(30);  // of calls that carry up to kMaxUploadChunkBytes
};

// A gRPC channel over mutual TLS. Connects when first used, and again when needed: until it can, calls are
// Unavailable at once. The coordinator's certificate must be of `ca_pem` and for `host`. An answer that makes no
// sense is Internal. Not thread-safe.
std::unique_ptr<CoordinatorLink> ConnectDevice(const ChannelCredentials& credentials,
                                               const CallDeadlines& deadlines = {});

}  // namespace fleetune
