#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/digest.h"

namespace fleetune {

// X.509 certificates of a fleet (RFC 5280). One certificate authority (CA) signs the server's, the
// devices' and the admins' certificates. Who somebody is stands in a URI of the subject
// alternative name, which only the CA can write:
//   fleetune://device/<id>     fleetune://admin/<name>?role=<viewer|operator|admin>
// Ids and names are 1 to 64 letters, digits or . _ - @. A server's certificate has DNS names and
// addresses instead, and may serve only; the others may connect only (extended key usage).
// Keys are ECDSA P-256 (every TLS stack takes them). PEM throughout.

enum class PeerKind : uint8_t { kServer, kDevice, kAdmin };
enum class AdminRole : uint8_t { kViewer = 1, kOperator = 2, kAdmin = 3 };  // each may what the one before may

struct PeerIdentity {
  PeerKind kind = PeerKind::kDevice;
  std::string name;                        // device id, admin's name, or a server's first host
  AdminRole role = AdminRole::kViewer;     // of admins only
  std::string serial;                      // hexadecimal, unique within the CA
  TimePoint not_after;

  friend bool operator==(const PeerIdentity&, const PeerIdentity&) = default;
};

// A private key in PEM (PKCS #8, not encrypted): keep the file 0600; never log it.
struct KeyAndCertificate {
  std::string key_pem;
  std::string certificate_pem;
};

// A key and a request (PKCS #10) for a certificate that binds it. The subject in the
// request is ignored by the CA.
struct KeyAndRequest {
  std::string key_pem;
  std::string request_pem;
};
absl::StatusOr<KeyAndRequest> MakeCertificateRequest();

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
  // Signs a device's request after checking its proof of possession.
  // InvalidArgument for a malformed request or another key type.
  absl::StatusOr<std::string> IssueDevice(const std::string& request_pem, const std::string& device_id,
                                          TimePoint now, std::chrono::hours lifetime) const;

 private:
  struct State;
  explicit CertificateAuthority(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Who a certificate speaks for. Unauthenticated if it names nobody of a fleet. Does not
// check the issuer: TLS has done that before a service sees it.
absl::StatusOr<PeerIdentity> ReadIdentity(const std::string& certificate_pem);

// SHA-256 of the certificate's DER: what an enrolment token carries of the CA.
absl::StatusOr<Digest> CertificateFingerprint(const std::string& certificate_pem);

// OK if `certificate_pem` was issued by `ca_pem`, is valid at `now` and (unless `host` is empty)
// is for `host`. Otherwise Unauthenticated, with the reason.
absl::Status VerifyCertificate(const std::string& certificate_pem, const std::string& ca_pem,
                               const std::string& host, TimePoint now);

// Splits a PEM text with several certificates. InvalidArgument if it holds anything else.
absl::StatusOr<std::vector<std::string>> SplitPemCertificates(const std::string& pem);

}  // namespace fleetune
