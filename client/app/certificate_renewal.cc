#include "client/app/certificate_renewal.h"

#include <string>
#include <utility>

#include "base/crypto/certificate.h"
#include "base/status_macros.h"

namespace fleetune {

absl::StatusOr<std::optional<Bytes>> RenewCertificateIfDue(const DeviceFolder& folder, CoordinatorLink& link, TimePoint now,
                                                           DeviceIdentity& identity) {
  const absl::StatusOr<PeerIdentity> present = ReadIdentity(identity.certificate_pem);
  if (!present.ok() || !RenewalIsDue(identity.certificate_since, present->not_after, now)) {
    return std::optional<Bytes>();
  }
  const VerifyKey identity_key = identity.identity_key.verify_key();
  ASSIGN_OR_RETURN(KeyAndRequest request, MakeCertificateRequest(identity_key));
  ASSIGN_OR_RETURN(const std::string certificate, link.RenewCertificate(request.request_pem));
  RETURN_IF_ERROR(CheckOwnCertificate(certificate, identity.ca_pem,
                                      {.device_id = identity.device_id, .identity_key = identity_key}, now));
  RETURN_IF_ERROR(ReplaceCertificate(folder, request.key_pem, certificate, now, identity));
  ASSIGN_OR_RETURN(Bytes der, CertificateDer(certificate));
  return std::optional<Bytes>(std::move(der));
}

}  // namespace fleetune
