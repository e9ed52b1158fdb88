#include "tools/sim/sim_coordinator.h"

#include <utility>

#include "base/status_macros.h"
#include "coordinator/store/sqlite_fleet_store.h"

namespace fleetune {

absl::StatusOr<std::unique_ptr<SimCoordinator>> SimCoordinator::Open(const std::string& store, uint64_t seed) {
  ASSIGN_OR_RETURN(CertificateAuthority authority, CertificateAuthority::Create("simulation", SimClock().Now()));
  ASSIGN_OR_RETURN(DeviceCertificateVerifier certificates,
                   DeviceCertificateVerifier::Create(authority.pem().certificate_pem));
  std::unique_ptr<SimCoordinator> coordinator(
      new SimCoordinator(seed, std::move(authority), std::move(certificates)));
  ASSIGN_OR_RETURN(coordinator->store_, SqliteFleetStore::Open(store));
  ASSIGN_OR_RETURN(coordinator->fleet_, Fleet::Open({.store = coordinator->store_.get(),
                                                     .clock = &coordinator->clock_,
                                                     .random = &coordinator->random_,
                                                     .authority = &coordinator->authority_,
                                                     .release_key = &coordinator->release_key_}));
  return coordinator;
}

absl::StatusOr<Enrollment> SimCoordinator::Enroll(const std::string& name, const VerifyKey& identity) {
  ASSIGN_OR_RETURN(const NewToken token, fleet_->CreateToken(kSimAdmin, {.uses = 1, .tags = {}}));
  ASSIGN_OR_RETURN(const KeyAndRequest request, MakeCertificateRequest(identity));
  return fleet_->Enroll(
      {.token_secret = token.secret, .certificate_request = request.request_pem, .device_name = name});
}

std::shared_ptr<const Adapter> SimCoordinator::Shared(const Digest& hash, Adapter adapter) {
  std::weak_ptr<const Adapter>& known = adapters_[hash];
  std::shared_ptr<const Adapter> shared = known.lock();
  if (shared == nullptr) {
    shared = std::make_shared<const Adapter>(std::move(adapter));
    known = shared;
  }
  return shared;
}

}  // namespace fleetune
