#pragma once

#include <chrono>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/crypto/certificate.h"
#include "coordinator/app/coordinator_folder.h"

namespace fleetune {

inline constexpr auto kServerCertificateLifetime = std::chrono::hours(24 * 365);
inline constexpr auto kServerCertificateRenewal = std::chrono::hours(24 * 30);  // before it ends

// A new key and certificate for the names in folder.hosts(), localhost and 127.0.0.1, followed by the CA's
// certificate. Both change at once: they lie in a folder of their own to which folder.server() links.
absl::Status IssueServerCertificate(const CoordinatorFolder& folder, const CertificateAuthority& authority,
                                    TimePoint now);

// Issues a new one if the present one ends within kServerCertificateRenewal. True if it did.
absl::StatusOr<bool> RenewServerCertificate(const CoordinatorFolder& folder, const CertificateAuthority& authority,
                                            TimePoint now);

}  // namespace fleetune
