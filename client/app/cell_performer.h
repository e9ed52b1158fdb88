#pragma once

#include <functional>
#include <optional>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "aggregation/secagg/client_session.h"
#include "base/crypto/signature.h"
#include "base/random.h"
#include "client/core/agent.h"
#include "client/core/ports.h"
#include "client/core/privacy_books.h"

namespace fleetune {

// What cells are taken part in with. All borrowed.
struct CellPorts {
  CoordinatorLink* link = nullptr;
  PayloadStore* payloads = nullptr;
  RandomSource* random = nullptr;  // cryptographic
  PrivacyBooks* books = nullptr;
};

struct CellSettings {
  VerifyKey release_key;  // signs configs
  secagg::SessionPolicy policy;
  secagg::ClientIdentity identity;  // its key must outlive this
  // Who another device's certificate (DER) speaks for; Unauthenticated if the fleet's CA did not issue it.
  std::function<absl::StatusOr<secagg::VerifiedPeer>(std::span<const uint8_t>)> verify_peer;
};

// Performs the agent's steps in cells of secure aggregation. What a session answers, the session itself and the masked
// update lie in the PayloadStore when a step returns, its noise is charged, and nothing of it has left by then: what
// leaves is named by a later step, thus by a durable state. Decides nothing. Not thread-safe.
class CellPerformer {
 public:
  CellPerformer(const CellPorts& ports, CellSettings settings) : ports_(ports), settings_(std::move(settings)) {}

  // After a renewed certificate.
  void UseLink(CoordinatorLink* link) { ports_.link = link; }
  void UseCertificate(Bytes der) { settings_.identity.certificate = std::move(der); }

  AgentEvent TakeSeat(const TakeCellSeat& step);
  AgentEvent Exchange(const ExchangeInCell& step);

 private:
  absl::Status Load(const Digest& saved);
  secagg::ClientSession TakeOut();
  absl::StatusOr<Digest> KeepSession(secagg::ClientSession session);
  absl::StatusOr<Digest> Keep(std::span<const uint8_t> bytes);
  AgentEvent Answer(const ExchangeInCell& step, std::span<const uint8_t> message);
  AgentEvent MaskUpdate(const ExchangeInCell& step, std::span<const uint8_t> message);

  CellPorts ports_;
  CellSettings settings_;
  std::optional<std::pair<Digest, secagg::ClientSession>> session_;  // by the hash of its saved bytes
};

}  // namespace fleetune
