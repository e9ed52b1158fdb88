#include "base/crypto/verified_certificates.h"

#include <map>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "base/check.h"
#include "base/crypto/sha256.h"
#include "base/digest.h"
#include "base/mutex.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

struct Verified {
  PeerIdentity identity;
  TimePoint at;
};

}  // namespace

struct VerifiedCertificates::State {
  State(DeviceCertificateVerifier of_ca, size_t most) : verifier(std::move(of_ca)), capacity(most) {}

  std::optional<PeerIdentity> Find(const Digest& certificate, TimePoint now) {
    const MutexLock lock(&mutex);
    const auto known = verified.find(certificate);
    if (known == verified.end() || now < known->second.at || now >= known->second.identity.not_after) {
      return std::nullopt;
    }
    return known->second.identity;
  }
  void Remember(const Digest& certificate, Verified what) {
    const MutexLock lock(&mutex);
    if (verified.size() >= capacity) verified.clear();
    verified.insert_or_assign(certificate, std::move(what));
  }

  const DeviceCertificateVerifier verifier;
  const size_t capacity;
  Mutex mutex;  // held to look up, not to verify: certificates are verified side by side
  std::map<Digest, Verified> verified ABSL_GUARDED_BY(mutex);
};

VerifiedCertificates::VerifiedCertificates(std::unique_ptr<State> state) : state_(std::move(state)) {}
VerifiedCertificates::VerifiedCertificates(VerifiedCertificates&&) noexcept = default;
VerifiedCertificates& VerifiedCertificates::operator=(VerifiedCertificates&&) noexcept = default;
VerifiedCertificates::~VerifiedCertificates() = default;

absl::StatusOr<VerifiedCertificates> VerifiedCertificates::Create(const std::string& ca_pem, size_t capacity) {
  CHECK(capacity > 0);
  ASSIGN_OR_RETURN(DeviceCertificateVerifier verifier, DeviceCertificateVerifier::Create(ca_pem));
  return VerifiedCertificates(std::make_unique<State>(std::move(verifier), capacity));
}

absl::StatusOr<PeerIdentity> VerifiedCertificates::Verify(std::span<const uint8_t> der, TimePoint now) const {
  const Digest certificate = Sha256(der);
  if (std::optional<PeerIdentity> known = state_->Find(certificate, now); known.has_value()) return *std::move(known);
  ASSIGN_OR_RETURN(PeerIdentity identity, state_->verifier.Verify(der, now));
  state_->Remember(certificate, {.identity = identity, .at = now});
  return identity;
}

}  // namespace fleetune
