#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/crypto/certificate.h"

namespace fleetune {

// Verifies the certificates of devices as DeviceCertificateVerifier does, each once: one that comes again is known by
// its hash, which costs a hundredth. For a server that sees the same devices again and again. Thread-safe. Move-only.
class VerifiedCertificates {
 public:
  static constexpr size_t kDefaultCapacity = 65'536;  // certificates, of about 200 bytes each here

  // InvalidArgument if the text is no CA's certificate. Above `capacity` certificates all are forgotten, and verified
  // anew when they come again. Requires a capacity of at least 1; checked.
  static absl::StatusOr<VerifiedCertificates> Create(const std::string& ca_pem, size_t capacity = kDefaultCapacity);

  VerifiedCertificates(VerifiedCertificates&&) noexcept;
  VerifiedCertificates& operator=(VerifiedCertificates&&) noexcept;
  ~VerifiedCertificates();

  // DeviceCertificateVerifier::Verify: what was verified at one time counts until the certificate ends, and not for
  // times before. A certificate that was refused is looked at anew each time.
  absl::StatusOr<PeerIdentity> Verify(std::span<const uint8_t> der, TimePoint now) const;

 private:
  struct State;
  explicit VerifiedCertificates(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fleetune
