#pragma once

#include <string>
#include <string_view>

#include <grpcpp/security/auth_context.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/crypto/certificate.h"
#include "base/crypto/signature.h"

namespace fleetune {

// Who speaks on a connection, from the certificate that TLS has verified against the fleet's CA.
// Unauthenticated if none was shown, it names nobody of a fleet, or it has expired since the handshake.
absl::StatusOr<PeerIdentity> ReadPeer(const grpc::AuthContext& context, TimePoint now);

// The device that speaks, as its certificate says.
struct DevicePeer {
  std::string id;
  VerifyKey identity;  // what it signs its messages to other devices with
};

// PermissionDenied for an admin or a server. Says nothing on revocation: Fleet::CheckDevice does.
absl::StatusOr<DevicePeer> RequireDevice(const PeerIdentity& peer, std::string_view call);

// The name of the admin who speaks. PermissionDenied for a device or server, and for an admin whose role is
// below `needed`.
absl::StatusOr<std::string> RequireAdmin(const PeerIdentity& peer, AdminRole needed, std::string_view call);

std::string_view RoleName(AdminRole role);  // "viewer", "operator", "admin"

}  // namespace fleetune
