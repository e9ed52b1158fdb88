#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/crypto/signature.h"
#include "client/app/device_folder.h"

namespace fleetune {

// Who a device is in its fleet. Holds secrets: never log it. Move-only.
struct DeviceIdentity {
  std::string device_id;
  std::string name;     // what people call it
  std::string profile;  // as enrolled; may be empty
  std::string host;     // of the coordinator
  uint16_t port = 0;
  TimePoint certificate_since;            // when the certificate came
  std::array<uint8_t, 32> release_key{};  // Ed25519: signs plans and adapter updates
  std::string ca_pem;
  std::string key_pem;
  std::string certificate_pem;
  SigningKey identity_key;  // signs messages to other devices; the certificate names its public half; never changes
};

// Writes identity.key (the seed in 64 hexadecimal digits) and device.key, both 0600, device.crt, ca.crt and, last,
// enrolled.toml: a device is enrolled once that is there.
absl::Status SaveIdentity(const DeviceFolder& folder, const DeviceIdentity& identity);

// NotFound, saying how to enrol, if the device is not enrolled; DataLoss if a file is missing or damaged: without a
// good identity.key the device must be enrolled again, and the message says how. Finishes a renewal that was cut off.
absl::StatusOr<DeviceIdentity> LoadIdentity(const DeviceFolder& folder);

// Who a device's certificate must be for.
struct OwnCertificate {
  std::string device_id;
  VerifyKey identity_key;
};

// OK if `certificate_pem`, which the coordinator sent, was issued by the CA, is valid now and is `expected`'s.
// Otherwise Unauthenticated.
absl::Status CheckOwnCertificate(const std::string& certificate_pem, const std::string& ca_pem,
                                 const OwnCertificate& expected, TimePoint now);

// Replaces the certificate and its key together, even if the machine stops in between, and those in `identity` with
// them. The identity key stays.
absl::Status ReplaceCertificate(const DeviceFolder& folder, const std::string& key_pem,
                                const std::string& certificate_pem, TimePoint now, DeviceIdentity& identity);

// Whether a certificate that came at `since` and ends at `until` is in the last third of its life.
bool RenewalIsDue(TimePoint since, TimePoint until, TimePoint now);

}  // namespace fleetune
