#pragma once

// What a ClientSession holds. Of this folder only.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "aggregation/secagg/bitmap.h"
#include "aggregation/secagg/client_session.h"
#include "aggregation/secagg/graph_parameters.h"
#include "aggregation/secagg/shamir.h"
#include "aggregation/secagg/share_keys.h"
#include "aggregation/secagg/transcript.h"
#include "base/crypto/secret.h"
#include "base/crypto/x25519.h"

namespace fleetune::secagg {

// A neighbour whose advertisement was good.
struct Neighbour {
  uint32_t seat = 0;
  uint32_t place = 0;  // of this device among that one's neighbours
  std::string device;
  PublicKey channel_key{};
  PublicKey mask_key{};
  bool aes_instructions = false;
  VerifyKey identity;
};

// A message of the coordinator, and what was said to it: the same again gets the same answer.
struct AnsweredMessage {
  Digest message;
  Bytes answer;
};

struct ClientSession::State {
  // `config_bytes` hold `config`.
  State(const ClientIdentity& whose, const SessionPolicy& floor, std::span<const uint8_t> bytes, SessionConfig parsed,
        X25519Key channel, X25519Key mask)
      : identity(whose),
        policy(floor),
        config_bytes(bytes.begin(), bytes.end()),
        config(std::move(parsed)),
        config_hash(ConfigHash(bytes)),
        channel_key(std::move(channel)),
        mask_key(std::move(mask)) {}

  ClientIdentity identity;
  SessionPolicy policy;
  Bytes config_bytes;
  SessionConfig config;
  Digest config_hash;
  ClientPhase phase = ClientPhase::kAdvertised;

  X25519Key channel_key;
  X25519Key mask_key;
  Secret32 seed;  // b
  Bytes advertisement;

  // From the roster on.
  std::optional<AnsweredMessage> roster;
  Digest session;
  uint32_t cohort = 0;
  uint32_t seat = 0;
  uint32_t threshold = 0;
  bool complete = false;              // the graph: then a device holds a share of its own secrets, too
  Share own_share;                    // of `seed`, if complete
  std::vector<Neighbour> neighbours;  // ascending seats

  // From the shares on.
  std::optional<AnsweredMessage> shares;
  Bitmap shared;                                 // A1, among the neighbours
  std::vector<std::optional<SharePair>> opened;  // by neighbour; none if it did not share, or sealed badly

  std::optional<Digest> input;  // hash of what was masked
  std::optional<AnsweredMessage> view;
  Digest view_hash;  // that was signed
  std::optional<AnsweredMessage> unmask;

  // Nothing needs them after the last answer: whoever takes the device later finds nothing that opens its masks.
  void ForgetSecrets();

  // What Save wrote after the config.
  absl::Status Read(ByteReader& reader);
  // DataLoss if no session can be in this state: what is there must fit the phase, and seats the roster.
  absl::Status CheckRead() const;

  // The neighbours that shared, and are in V (or are not).
  Bitmap NeighboursIn(const Bitmap& survivors, bool in) const;
  // With itself, if it holds a share, too.
  uint32_t Holders(uint32_t neighbours_counted) const { return neighbours_counted + (complete ? 1 : 0); }
  // OK if V fits the session and the policy of this device.
  absl::Status CheckSurvivors(const Bitmap& survivors) const;
};

// The answer if `message` was answered before; FailedPrecondition if another one was; none if none was.
absl::StatusOr<std::optional<Bytes>> AnsweredBefore(const std::optional<AnsweredMessage>& before,
                                                    std::span<const uint8_t> message);
AnsweredMessage Answered(std::span<const uint8_t> message, Bytes answer);
absl::Status WrongPhase(std::string_view what);

}  // namespace fleetune::secagg
