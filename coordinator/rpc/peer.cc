#include "coordinator/rpc/peer.h"

#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

std::string_view KindName(PeerKind kind) {
  switch (kind) {
    case PeerKind::kServer:
      return "a server";
    case PeerKind::kDevice:
      return "a device";
    case PeerKind::kAdmin:
      return "an admin";
  }
  return "an unknown peer";
}

}  // namespace

std::string_view RoleName(AdminRole role) {
  switch (role) {
    case AdminRole::kViewer:
      return "viewer";
    case AdminRole::kOperator:
      return "operator";
    case AdminRole::kAdmin:
      return "admin";
  }
  return "unknown";
}

absl::StatusOr<PeerIdentity> ReadPeer(const grpc::AuthContext& context, TimePoint now) {
  const std::vector<grpc::string_ref> certificates = context.FindPropertyValues("x509_pem_cert");
  if (certificates.empty()) {
    return absl::UnauthenticatedError("this call needs a client certificate of the fleet, and none was shown");
  }
  ASSIGN_OR_RETURN(PeerIdentity peer, ReadIdentity(std::string(certificates[0].data(), certificates[0].size())));
  // TLS checked the dates at the handshake; a connection may outlive its certificate.
  if (peer.not_after < now) return absl::UnauthenticatedError("the client certificate has expired");
  return peer;
}

absl::StatusOr<DevicePeer> RequireDevice(const PeerIdentity& peer, std::string_view call) {
  if (peer.kind == PeerKind::kDevice) {
    CHECK(peer.identity_key.has_value());  // ReadIdentity takes no device without one
    return DevicePeer{.id = peer.name, .identity = *peer.identity_key};
  }
  return absl::PermissionDeniedError(fmt::format("{} is a call of devices, and the certificate is that of {} ({})", call,
                                                 KindName(peer.kind), peer.name));
}

absl::StatusOr<std::string> RequireAdmin(const PeerIdentity& peer, AdminRole needed, std::string_view call) {
  if (peer.kind != PeerKind::kAdmin) {
    return absl::PermissionDeniedError(fmt::format("{} is a call of admins, and the certificate is that of {} ({})",
                                                   call, KindName(peer.kind), peer.name));
  }
  if (static_cast<int>(peer.role) < static_cast<int>(needed)) {
    return absl::PermissionDeniedError(
        fmt::format("{} needs the role {}, and {} has the role {}", call, RoleName(needed), peer.name,
                    RoleName(peer.role)));
  }
  return peer.name;
}

}  // namespace fleetune
