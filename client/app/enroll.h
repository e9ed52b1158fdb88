#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "client/app/device_folder.h"
#include "client/app/identity.h"

namespace fleetune {

struct EnrollOptions {
  std::string token;    // of `fleetune token create`
  std::string name;     // what people call the device; empty: the machine's host name
  std::string profile;  // of client/core/profile.h; may be empty
};

// Joins a fleet: fetches the CA that the token names, makes its two keys, gets a certificate, writes the identity.
// AlreadyExists if the folder is enrolled; InvalidArgument (token, name, profile); errors of FetchPinnedCa and
// JoinFleet; Unauthenticated if the certificate that came is not of the CA or not for this device and its
// identity key.
absl::StatusOr<DeviceIdentity> Enroll(const DeviceFolder& folder, const EnrollOptions& options, const Clock& clock);

}  // namespace fleetune
