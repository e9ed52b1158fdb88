#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "client/app/device_folder.h"

namespace fleetune {

// Who a device is in its fleet. Holds a secret: never log it.
struct DeviceIdentity {
  std::string device_id;
  std::string name;       // what people call it
  std::string profile;    // as enrolled; may be empty
  std::string host;       // of the coordinator
  uint16_t port = 0;
  TimePoint certificate_since;          // when the certificate came
  std::array<uint8_t, 32> release_key{};  // Ed25519: signs plans and adapter updates
  std::string ca_pem;
  std::string key_pem;
  std::string certificate_pem;
};

// Writes device.key (0600), device.crt, ca.crt and, last, enrolled.toml: a device is enrolled once that is there.
absl::Status SaveIdentity(const DeviceFolder& folder, const DeviceIdentity& identity);

// NotFound, saying how to enrol, if the device is not enrolled; DataLoss if a file is missing or damaged. Finishes a renewal
// that was cut off.
absl::StatusOr<DeviceIdentity> LoadIdentity(const DeviceFolder& folder);

// Replaces key and certificate together, even if the machine stops in between, and `identity` with them.
absl::Status ReplaceCertificate(const DeviceFolder& folder, const std::string& key_pem,
                                const std::string& certificate_pem, TimePoint now, DeviceIdentity& identity);

// Whether a certificate that came at `since` and ends at `until` is in the last third of its life.
bool RenewalIsDue(TimePoint since, TimePoint until, TimePoint now);

}  // namespace fleetune
