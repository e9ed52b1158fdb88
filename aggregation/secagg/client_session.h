#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "aggregation/secagg/advertise.h"
#include "aggregation/secagg/session_config.h"
#include "aggregation/secagg/session_policy.h"
#include "base/bytes.h"
#include "base/crypto/secret.h"
#include "base/crypto/signature.h"
#include "base/digest.h"
#include "base/random.h"

namespace fleetune::secagg {

// What a device has answered last.
enum class ClientPhase : uint8_t {
  kAdvertised = 1,  // waits for the roster
  kShared = 2,      // has sealed its shares; waits for its neighbours'
  kReady = 3,       // knows all its masks
  kMasked = 4,      // has masked its input; waits for the view (profile M) or the unmask request
  kViewSigned = 5,  // profile M only; waits for the unmask request
  kUnmasked = 6,    // has released shares: nothing more to do
};

// Whose session it is. Borrows the key, which must outlive the session.
struct ClientIdentity {
  std::string device;
  Bytes certificate;                // DER; names device and the key's public half
  const SigningKey* key = nullptr;  // Ed25519
  bool aes_instructions = false;
};

// A device's side of one secure aggregation (Bonawitz et al. 2017; Bell et al. 2020; docs/design/secagg.md). A pure
// state machine: messages in, messages out; randomness and keys are passed in.
//
// The caller makes Save() durable before it sends what a call returned: a session that forgets what it answered could
// be made to answer twice. A message that comes again gets the same answer; another one in its place is
// FailedPrecondition, and changes nothing. So does every error: the session may be kept and given a better message, or
// given up, which reveals nothing.
//
// Errors of the On... calls: InvalidArgument, DataLoss, ResourceExhausted (a message that is none), Unauthenticated (a
// certificate or signature), FailedPrecondition (the wrong phase, another message than before, below the policy).
// Move-only; not thread-safe. Holds secrets: wiped at the end.
class ClientSession {
 public:
  // Takes a seat: makes the session's keys. `config` are the bytes that the coordinator signed; the caller has verified
  // the signature (SignPurpose::kSecAggConfig).
  static absl::StatusOr<ClientSession> Join(const ClientIdentity& identity, std::span<const uint8_t> config,
                                            const SessionPolicy& policy, RandomSource& random);

  // The session that Save() described. DataLoss if the bytes are not Save()'s; InvalidArgument for another device.
  static absl::StatusOr<ClientSession> Load(const ClientIdentity& identity, const SessionPolicy& policy,
                                            std::span<const uint8_t> saved);
  // Everything, the secrets included: seal it.
  Bytes Save() const;

  ClientSession(ClientSession&&) noexcept;
  ClientSession& operator=(ClientSession&&) noexcept;
  ~ClientSession();

  const Bytes& advertisement() const;  // to send first

  // Checks the roster and the neighbours; returns the sealed shares to send. `random`: for polynomials.
  absl::StatusOr<Bytes> OnRoster(std::span<const uint8_t> message, PeerVerifier verify, RandomSource& random);

  // Learns which neighbours take part. Too few of them (under the threshold) is FailedPrecondition: give up.
  absl::Status OnShares(std::span<const uint8_t> message);

  // The masked input, packed into lanes; in profile M what it was masked with follows, signed (inclusion.h). Requires `ring` of the config's dimension; checked. FailedPrecondition before
  // OnShares or after the last answer, and for another `ring` than at the first call: two inputs under the same masks
  // would tell their difference.
  absl::StatusOr<Bytes> Mask(std::span<const uint32_t> ring);

  // Profile M: returns the signature to send.
  absl::StatusOr<Bytes> OnView(std::span<const uint8_t> message);

  // Releases shares; returns them to send.
  absl::StatusOr<Bytes> OnUnmaskRequest(std::span<const uint8_t> message);

  ClientPhase phase() const;
  const SessionConfig& config() const;
  const Digest& config_hash() const;
  uint32_t cohort() const;  // devices in the roster; 0 before it is known
  const Digest& session() const;  // sid, from the roster on

  // The key of this device's noise in this session: from a secret that is never shared, so nobody else has it, and the
  // same whenever it is asked for, so the input that it makes is the same, too. FailedPrecondition where Mask is.
  absl::StatusOr<Secret32> NoiseKey() const;

 private:
  struct State;
  explicit ClientSession(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fleetune::secagg
