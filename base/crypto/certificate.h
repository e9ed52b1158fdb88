#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/crypto/signature.h"
#include "base/digest.h"

namespace fleetune {

// X.509 certificates of a fleet (RFC 5280). One certificate authority (CA) signs the server's, the
// devices' and the admins' certificates. Who somebody is stands in a URI of the subject
// alternative name, which only the CA can write:
//   fleetune://device/<id>?identity=<key>     fleetune://admin/<name>?role=<viewer|operator|admin>
// Ids and names are 1 to 64 letters, digits or . _ - @. A server's certificate has DNS names and
// addresses instead, and may serve only; the others may connect only (extended key usage).
// A device asks for its identity key with the URI fleetune://identity/<key> in its request's
// subject alternative name. <key> is an Ed25519 public key in 64 lower-case hexadecimal digits.
// The certificates' own keys are ECDSA P-256 (every TLS stack takes them). PEM, where not said otherwise.

enum class PeerKind : uint8_t { kServer, kDevice, kAdmin };
enum class AdminRole : uint8_t { kViewer = 1, kOperator = 2, kAdmin = 3 };  // each may what the one before may

struct PeerIdentity {
  PeerKind kind = PeerKind::kDevice;
  std::string name;                     // device id, admin's name, or a server's first host
  AdminRole role = AdminRole::kViewer;  // of admins only
  std::string serial;                   // hexadecimal, unique within the CA
  TimePoint not_after;
  // What a device signs its messages to other devices with. Of devices always, of the others never.
  std::optional<VerifyKey> identity_key;

  friend bool operator==(const PeerIdentity& a, const PeerIdentity& b);
};

// A private key in PEM (PKCS #8, not encrypted): keep the file 0600; never log it.
struct KeyAndCertificate {
  std::string key_pem;
  std::string certificate_pem;
};

// A new key and a request (PKCS #10) for a certificate that binds it and `identity`. Nobody proves here
// to hold the private half of `identity`: who names another's key gains a certificate whose
// signatures it cannot make.
struct KeyAndRequest {
  std::string key_pem;
  std::string request_pem;
};
absl::StatusOr<KeyAndRequest> MakeCertificateRequest(const VerifyKey& identity);

// The CA itself. Immutable after Create/Load, so thread-safe. Move-only.
class CertificateAuthority {
 public:
  // A new CA named `fleet_name`, valid for 20 years from `now`. InvalidArgument unless the
  // name is 1 to 64 letters, digits or . _ - @.
  static absl::StatusOr<CertificateAuthority> Create(const std::string& fleet_name, TimePoint now);
  // EC or RSA. InvalidArgument if the two do not belong together or are none of a CA.
  static absl::StatusOr<CertificateAuthority> Load(const KeyAndCertificate& pem);

  CertificateAuthority(CertificateAuthority&&) noexcept;
  CertificateAuthority& operator=(CertificateAuthority&&) noexcept;
  ~CertificateAuthority();

  const KeyAndCertificate& pem() const;

  // What is issued is valid from 1 hour before `now` (clocks differ) to `lifetime` after it, but no
  // longer than the CA. InvalidArgument for a name or lifetime (1 hour to 20 years) out of range;
  // FailedPrecondition when the CA itself has expired or cannot sign.

  // A key and certificate for a server that is reached under `hosts` (DNS names or IP addresses).
  absl::StatusOr<KeyAndCertificate> IssueServer(const std::vector<std::string>& hosts, TimePoint now,
                                                std::chrono::hours lifetime) const;
  absl::StatusOr<KeyAndCertificate> IssueAdmin(const std::string& name, AdminRole role, TimePoint now,
                                               std::chrono::hours lifetime) const;
  // Signs a device's request after checking its proof of possession. Taken from the request are its key
  // and its identity key; subject, other names and extensions are ignored. InvalidArgument for
  // a malformed request, another key type, or not exactly one identity key that is usable.
  // FailedPrecondition also if the certificate would have over kMaxDeviceCertificateBytes (a CA with
  // very long names).
  absl::StatusOr<std::string> IssueDevice(const std::string& request_pem, const std::string& device_id, TimePoint now,
                                          std::chrono::hours lifetime) const;

 private:
  struct State;
  explicit CertificateAuthority(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The identity key that a certificate request names. InvalidArgument as for IssueDevice, but for the
// request's signature and key, which it does not check.
absl::StatusOr<VerifyKey> RequestedIdentityKey(const std::string& request_pem);

// Who a certificate speaks for. Unauthenticated if it names nobody of a fleet. Does not
// check the issuer: TLS has done that before a service sees it.
absl::StatusOr<PeerIdentity> ReadIdentity(const std::string& certificate_pem);

// The certificate as devices send it to each other. InvalidArgument if the text is none.
absl::StatusOr<Bytes> CertificateDer(const std::string& certificate_pem);

// SHA-256 of the certificate's DER: what an enrolment token carries of the CA.
absl::StatusOr<Digest> CertificateFingerprint(const std::string& certificate_pem);

// OK if `certificate_pem` was issued by `ca_pem`, is valid at `now` and (unless `host` is empty)
// is for `host`. Otherwise Unauthenticated, with the reason.
absl::Status VerifyCertificate(const std::string& certificate_pem, const std::string& ca_pem, const std::string& host,
                               TimePoint now);

// Of a device's certificate in DER. Ours have about 600; those of an outside CA with RSA about 1000.
inline constexpr size_t kMaxDeviceCertificateBytes = 2048;

// Verifies the certificates of other devices. Reads the CA once: for hundreds of neighbours.
// Thread-safe. Move-only.
class DeviceCertificateVerifier {
 public:
  // InvalidArgument if the text is no CA's certificate.
  static absl::StatusOr<DeviceCertificateVerifier> Create(const std::string& ca_pem);

  DeviceCertificateVerifier(DeviceCertificateVerifier&&) noexcept;
  DeviceCertificateVerifier& operator=(DeviceCertificateVerifier&&) noexcept;
  ~DeviceCertificateVerifier();

  // The device that `der` speaks for, with its identity key. Unauthenticated, with the reason, unless all of
  // `der` is one certificate of at most kMaxDeviceCertificateBytes, the CA issued it, it is valid
  // at `now`, and it is a device's. Does not know who was revoked: the coordinator does.
  absl::StatusOr<PeerIdentity> Verify(std::span<const uint8_t> der, TimePoint now) const;

 private:
  struct State;
  explicit DeviceCertificateVerifier(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

// The same for one certificate. Unauthenticated also if `ca_pem` is no CA's.
absl::StatusOr<PeerIdentity> VerifyDeviceCertificate(std::span<const uint8_t> der, const std::string& ca_pem,
                                                     TimePoint now);

// Splits a PEM text with several certificates. InvalidArgument if it holds anything else.
absl::StatusOr<std::vector<std::string>> SplitPemCertificates(const std::string& pem);

}  // namespace fleetune
