#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/crypto/certificate.h"
#include "base/crypto/signature.h"
#include "base/random.h"
#include "coordinator/core/fleet.h"
#include "coordinator/core/fleet_store.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

// Time that stands still until it is moved on.
class SimClock final : public Clock {
 public:
  TimePoint Now() const override { return now_; }
  // Never back.
  void AdvanceTo(TimePoint time) {
    if (time > now_) now_ = time;
  }

 private:
  TimePoint now_ = FromMillis(1'700'000'000'000);
};

// The admin who acts in a simulation.
inline constexpr char kSimAdmin[] = "simulation";

// A coordinator's core as it runs in a datacenter, over SQLite, without the wire; time and randomness are simulated.
// Not thread-safe.
class SimCoordinator {
 public:
  // `store`: a file that does not exist yet, or ":memory:". Errors of SqliteFleetStore::Open and Fleet::Open.
  static absl::StatusOr<std::unique_ptr<SimCoordinator>> Open(const std::string& store, uint64_t seed);

  // A new device's id and certificate.
  absl::StatusOr<Enrollment> Enroll(const std::string& name, const VerifyKey& identity);

  Fleet& fleet() { return *fleet_; }
  SimClock& clock() { return clock_; }
  const SigningKey& release_key() const { return release_key_; }
  const DeviceCertificateVerifier& certificates() const { return certificates_; }

  // One copy of an adapter that many devices hold: they are many, and it may be large.
  std::shared_ptr<const Adapter> Shared(const Digest& hash, Adapter adapter);

 private:
  SimCoordinator(uint64_t seed, CertificateAuthority authority, DeviceCertificateVerifier certificates)
      : random_(seed), authority_(std::move(authority)), certificates_(std::move(certificates)) {}

  SimClock clock_;
  SplitMix64 random_;
  CertificateAuthority authority_;
  DeviceCertificateVerifier certificates_;
  SigningKey release_key_ = SigningKey::Generate();
  std::unique_ptr<FleetStore> store_;
  std::unique_ptr<Fleet> fleet_;
  std::map<Digest, std::weak_ptr<const Adapter>> adapters_;
};

}  // namespace fleetune
