#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/digest.h"

namespace fleetune {

struct PinnedPeer {
  std::string host;
  uint16_t port = 0;
  Digest ca_fingerprint;
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
};

// First contact with a coordinator of which only its CA's fingerprint is known: makes a TLS 1.3
// handshake, takes the chain that the peer shows, and returns the PEM of the CA in it whose
// fingerprint is the expected one, once the peer's own certificate verifies against that CA
// and `peer.host` at `now`. Nothing is sent but the handshake.
//
// InvalidArgument without host or port; Unavailable if the peer cannot be reached or goes silent;
// Unauthenticated if it speaks no TLS 1.3, no certificate of the chain has the fingerprint, or the chain does not verify. Blocks up to
// `timeout`, besides the time that the system takes to resolve the host's name. Thread-safe.
absl::StatusOr<std::string> FetchPinnedCa(const PinnedPeer& peer, TimePoint now);

}  // namespace fleetune
