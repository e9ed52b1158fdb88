#pragma once

// What a ServerSession holds. Of this folder only.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "aggregation/secagg/advertise.h"
#include "aggregation/secagg/bitmap.h"
#include "aggregation/secagg/inclusion.h"
#include "aggregation/secagg/roster.h"
#include "aggregation/secagg/server_session.h"
#include "aggregation/secagg/shamir.h"
#include "aggregation/secagg/share_keys.h"
#include "aggregation/secagg/unmask.h"
#include "base/crypto/signature_batch.h"

namespace fleetune::secagg {

// A device with a seat.
struct Participant {
  std::string device;
  Bytes entry;  // its advertisement, encoded
  PublicKey mask_key{};
  bool aes_instructions = false;

  std::vector<uint32_t> neighbours;  // seats, ascending
  Bytes shared_bytes;                // its share-keys message; empty until it came
  Digest seed_hash;
  bool committed = false;
  Inclusion inclusion;  // profile M: what its input was masked with, once it is committed
  std::optional<Signature> view_signature;
  Bytes unmask_bytes;  // its unmask message; empty until it came
  UnmaskMessage unmask;

  bool shared() const { return !shared_bytes.empty(); }
  bool unmasked() const { return !unmask_bytes.empty(); }
};

// A message that is good if its signature is.
struct UnverifiedMessage {
  std::optional<SessionEvent> event;    // that it makes; none if it came before
  std::optional<SignatureClaim> claim;  // to be verified first; none where the coordinator looks at no signature
};

// Borrows what a participant released.
struct ReleasedShare {
  uint32_t seat = 0;
  const Share* share = nullptr;
};

struct TermsOfSecret {
  std::vector<MaskTerm> terms;
  std::vector<uint32_t> liars;
};

struct ServerSession::State {
  Bytes config_bytes;
  SessionConfig config;
  Digest config_hash;
  ServerPhase phase = ServerPhase::kAdvertise;
  std::string failure;

  std::map<std::string, Bytes, std::less<>> entries;  // by device, until the roster closes

  // From then on.
  Roster roster;
  Bytes roster_message;  // its bytes up to the receiver's neighbours: the same for everybody
  Digest session;        // sid
  uint32_t threshold = 0;
  bool complete = false;                  // the graph: then a device holds a share of its own secrets, too
  std::vector<Participant> participants;  // by seat
  Bitmap active;                          // A1, once the shares are closed
  bool inputs_closed = false;
  Bitmap survivors;  // V, once inputs_closed
  Digest view_hash;
  uint32_t shared = 0;  // how many participants have done what
  uint32_t committed = 0;
  uint32_t view_signed = 0;
  uint32_t unmasked = 0;
  std::vector<uint32_t> released;  // by seat: shares of its secret, once inputs_closed
  uint32_t secrets_short = 0;      // secrets that are needed, and have fewer shares than the threshold

  bool malicious() const { return config.profile == Profile::kMalicious; }
  // Where among the neighbours of `of` the seat `neighbour` stands. Requires that it is one.
  uint32_t PositionOf(const Participant& of, uint32_t neighbour) const;
  Bitmap ActiveAfterSharing() const;
  // V would leave enough neighbours to everybody whose secret it needs.
  bool InputsCanBeOpened() const;
  bool SecretNeeded(uint32_t seat) const;

  // What a participant is sent in phases 0 to 4.
  Bytes RosterFor(const Participant& participant) const;
  Bytes SharesFor(const Participant& participant) const;
  Bytes ViewMessage() const;
  UnmaskRequest UnmaskRequestFor(const Participant& participant) const;
  // Whose secrets phase 4 asks a device for: its neighbours' in ascending order of seats, and its own at the end if the
  // graph is complete.
  std::vector<uint32_t> AskedOf(const Participant& participant) const;

  // A participant in this phase. FailedPrecondition.
  absl::StatusOr<uint32_t> SeatIn(ServerPhase wanted, std::string_view device, std::string_view what) const;

  // All that is to be checked of a message but its signature.
  using MaybeUnverified = absl::StatusOr<UnverifiedMessage>;
  MaybeUnverified Read(const WaitingMessage& waiting, PeerVerifier verify) const;
  MaybeUnverified ReadAdvertise(const VerifiedPeer& peer, std::span<const uint8_t> message, PeerVerifier verify) const;
  MaybeUnverified ReadShareKeys(const VerifiedPeer& peer, std::span<const uint8_t> message) const;
  MaybeUnverified ReadViewSignature(const VerifiedPeer& peer, std::span<const uint8_t> message) const;
  MaybeUnverified ReadUnmask(const VerifiedPeer& peer, std::span<const uint8_t> message) const;
  // The same of what follows a masked input; `seat` has none in the sum yet.
  MaybeUnverified ReadInclusion(uint32_t seat, std::span<const uint8_t> inclusion, PeerVerifier verify) const;

  void ApplyAdvertised(SessionEvent event);
  void CloseRoster();
  void ApplyShared(SessionEvent event);
  // Which of its neighbours a participant was told to mask with.
  Bitmap ToldTo(const Participant& participant) const;
  void ApplyCommitted(const SessionEvent& event);
  void CloseInputs();
  void ApplyViewSigned(const SessionEvent& event);
  void ApplyUnmasked(SessionEvent event);
  absl::Status AppendTerms(const Participant& participant, Secret32 secret, std::vector<MaskTerm>& terms) const;
  // The masks that one device's secret gives, from the shares of it that were released, and the seats of liars.
  absl::StatusOr<TermsOfSecret> RecoverTerms(uint32_t seat, std::span<const ReleasedShare> given) const;
  // Whether `identity` signed what this participant has sent since the roster closed.
  bool Signed(const Participant& participant, const VerifyKey& identity) const;
  void Fail(std::string why);
};

}  // namespace fleetune::secagg
