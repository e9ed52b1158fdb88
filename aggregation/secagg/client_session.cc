// The parts of a device's session that belong to no single phase.

#include "aggregation/secagg/client_session.h"

#include <algorithm>
#include <utility>

#include "aggregation/secagg/client_state.h"
#include "aggregation/secagg/transcript.h"
#include "base/crypto/hkdf.h"
#include "base/crypto/sha256.h"
#include "fmt/format.h"

namespace fleetune::secagg {

ClientSession::ClientSession(std::unique_ptr<State> state) : state_(std::move(state)) {}
ClientSession::ClientSession(ClientSession&&) noexcept = default;
ClientSession& ClientSession::operator=(ClientSession&&) noexcept = default;
ClientSession::~ClientSession() = default;

const Bytes& ClientSession::advertisement() const { return state_->advertisement; }
ClientPhase ClientSession::phase() const { return state_->phase; }
const SessionConfig& ClientSession::config() const { return state_->config; }
const Digest& ClientSession::config_hash() const { return state_->config_hash; }
uint32_t ClientSession::cohort() const { return state_->cohort; }
const Digest& ClientSession::session() const { return state_->session; }

absl::StatusOr<Secret32> ClientSession::NoiseKey() const {
  if (phase() < ClientPhase::kReady || phase() == ClientPhase::kUnmasked) return WrongPhase("noise");
  const std::string label = Label("noise");
  return DeriveKey(state_->channel_key.secret().bytes(), state_->session.bytes, AsBytes(label));
}

void ClientSession::State::ForgetSecrets() {
  channel_key = X25519Key::FromSecret(Secret32());
  mask_key = X25519Key::FromSecret(Secret32());
  seed = Secret32();
  own_share = Share();
  for (std::optional<SharePair>& pair : opened) pair.reset();
}

Bitmap ClientSession::State::NeighboursIn(const Bitmap& survivors, bool in) const {
  Bitmap result(static_cast<uint32_t>(neighbours.size()));
  for (uint32_t i = 0; i < neighbours.size(); ++i) {
    if (shared.Has(i) && survivors.Has(neighbours[i].seat) == in) result.Add(i);
  }
  return result;
}

absl::Status ClientSession::State::CheckSurvivors(const Bitmap& survivors) const {
  if (!survivors.Has(seat)) return absl::FailedPreconditionError("view: it leaves this device out");
  const uint32_t floor = std::max(FewestInputs(config, cohort), policy.min_survivors);
  if (survivors.Count() < floor) {
    return absl::FailedPreconditionError(
        fmt::format("view: expected at least {} survivors, got {}", floor, survivors.Count()));
  }
  const uint32_t near = Holders(NeighboursIn(survivors, true).Count());
  if (near < threshold) {
    return absl::FailedPreconditionError(
        fmt::format("view: expected at least {} survivors that hold shares, got {}", threshold, near));
  }
  for (uint32_t i = 0; i < neighbours.size(); ++i) {
    if (survivors.Has(neighbours[i].seat) && !shared.Has(i)) {
      return absl::FailedPreconditionError("view: a neighbour that shared nothing is called a survivor");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Bytes>> AnsweredBefore(const std::optional<AnsweredMessage>& before,
                                                    std::span<const uint8_t> message) {
  if (!before.has_value()) return std::nullopt;
  if (before->message == Sha256(message)) return before->answer;
  return absl::FailedPreconditionError("another message of this phase was answered already");
}

AnsweredMessage Answered(std::span<const uint8_t> message, Bytes answer) {
  return AnsweredMessage{.message = Sha256(message), .answer = std::move(answer)};
}

absl::Status WrongPhase(std::string_view what) {
  return absl::FailedPreconditionError(fmt::format("{}: not in this phase", what));
}

}  // namespace fleetune::secagg
