#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "client/app/device_folder.h"
#include "client/app/identity.h"
#include "client/core/ports.h"

namespace fleetune {

// If a device's certificate is in the last third of its life: makes a new key, has the coordinator sign it, checks what came,
// and replaces both in `folder` and in `identity`. Returns the new certificate (DER): connections of the old one are to be
// made anew. Nothing if it is not due, or what is there cannot be read. Errors of the call, of CheckOwnCertificate and of
// ReplaceCertificate; the old certificate serves on.
absl::StatusOr<std::optional<Bytes>> RenewCertificateIfDue(const DeviceFolder& folder, CoordinatorLink& link, TimePoint now,
                                                           DeviceIdentity& identity);

}  // namespace fleetune
