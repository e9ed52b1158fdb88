#include "client/app/cell_performer.h"

#include <string>
#include <variant>

#include "aggregation/encode/lanes.h"
#include "aggregation/secagg/transcript.h"
#include "base/crypto/secret.h"
#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "client/app/noisy_input.h"
#include "client/core/cell_check.h"

namespace fleetune {
namespace {

using secagg::ClientSession;
using secagg::MessageKind;

// Whoever has given up its session lets the others' messages pass.
constexpr std::chrono::milliseconds kPauseWithoutSession = std::chrono::seconds(5);

bool IsLost(const absl::Status& status) { return absl::IsNotFound(status) || absl::IsDataLoss(status); }

// A disk that does not work now may work later.
AgentEvent Later(const absl::Status& status) {
  return StepFailed{absl::UnavailableError(std::string(status.message()))};
}
AgentEvent LostOrLater(const Digest& sha256, const absl::Status& status) {
  if (IsLost(status)) return PayloadLost{.sha256 = sha256, .status = status};
  return Later(status);
}

// The books do not pay for a cell.
AgentEvent Unpaid(const std::string& cell, const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) return PrivacyIsSpent{status};
  if (absl::IsUnavailable(status)) return Later(status);
  return CellRefused{.cell = cell, .status = status};
}

}  // namespace

AgentEvent CellPerformer::TakeSeat(const TakeCellSeat& step) {
  if (const absl::Status paid = ports_.books->CanAfford(step.plan, step.parameters); !paid.ok()) {
    return Unpaid("of round " + step.order.round, paid);
  }
  const absl::StatusOr<OfferedSeat> offered = ports_.link->TakeSeat(step.order.round);
  if (!offered.ok()) return StepFailed{offered.status()};
  if (offered->cell == step.ended_cell) return CellWaits{kPauseWithoutSession};
  const auto refused = [&](const absl::Status& why) { return CellRefused{.cell = offered->cell, .status = why}; };
  if (!settings_.release_key.Verify(SignPurpose::kSecAggConfig, offered->config, offered->signature).ok()) {
    return refused(absl::UnauthenticatedError("its terms do not bear the release key's signature"));
  }
  const absl::StatusOr<secagg::SessionConfig> config = secagg::ParseSessionConfig(offered->config);
  if (!config.ok()) return refused(config.status());
  const CellExpectation expected{.order = step.order, .plan = step.plan, .parameters = step.parameters};
  if (absl::Status agrees = CheckCellConfig(expected, *config); !agrees.ok()) return refused(agrees);
  absl::StatusOr<ClientSession> session =
      ClientSession::Join(settings_.identity, offered->config, settings_.policy, *ports_.random);
  if (!session.ok()) return refused(session.status());
  const absl::StatusOr<Digest> message = Keep(session->advertisement());
  if (!message.ok()) return Later(message.status());
  const absl::StatusOr<Digest> saved = KeepSession(*std::move(session));
  if (!saved.ok()) return Later(saved.status());
  return CellJoined{.cell = offered->cell, .min_inputs = config->min_survivors, .session = *saved, .message = *message};
}

AgentEvent CellPerformer::Exchange(const ExchangeInCell& step) {
  if (step.session.has_value()) {
    if (const absl::Status loaded = Load(*step.session); !loaded.ok()) return LostOrLater(*step.session, loaded);
  }
  Bytes said;
  if (step.message.has_value()) {
    absl::StatusOr<Bytes> kept = ports_.payloads->Get(*step.message);
    if (!kept.ok()) return LostOrLater(*step.message, kept.status());
    said = *std::move(kept);
  }
  const absl::StatusOr<CellNews> news = ports_.link->ExchangeCell(step.cell, said);
  if (!news.ok()) return StepFailed{news.status()};
  if (const auto* quiet = std::get_if<CellQuiet>(&*news)) return CellWaits{quiet->ask_again_in};
  if (const auto* ended = std::get_if<CellEnded>(&*news)) return CellOver{ended->counted};
  if (!step.session.has_value()) return CellWaits{kPauseWithoutSession};
  return Answer(step, std::get<CellSays>(*news).message);
}

AgentEvent CellPerformer::Answer(const ExchangeInCell& step, std::span<const uint8_t> message) {
  const auto refused = [&](const absl::Status& why) { return CellRefused{.cell = step.cell, .status = why}; };
  const absl::StatusOr<MessageKind> kind = secagg::PeekKind(message);
  if (!kind.ok()) return refused(kind.status());
  if (*kind == MessageKind::kShares) return MaskUpdate(step, message);
  ClientSession session = TakeOut();
  absl::StatusOr<Bytes> answer = absl::InvalidArgumentError("a message that only devices send");
  if (*kind == MessageKind::kRoster) answer = session.OnRoster(message, settings_.verify_peer, *ports_.random);
  if (*kind == MessageKind::kView) answer = session.OnView(message);
  if (*kind == MessageKind::kUnmaskRequest) answer = session.OnUnmaskRequest(message);
  if (!answer.ok()) return refused(answer.status());
  const absl::StatusOr<Digest> kept = Keep(*answer);
  const absl::StatusOr<Digest> saved = KeepSession(std::move(session));
  if (!kept.ok()) return Later(kept.status());
  if (!saved.ok()) return Later(saved.status());
  return CellAnswered{.session = *saved, .message = *kept};
}

AgentEvent CellPerformer::MaskUpdate(const ExchangeInCell& step, std::span<const uint8_t> message) {
  ClientSession session = TakeOut();
  if (absl::Status known = session.OnShares(message); !known.ok()) return CellRefused{step.cell, known};
  const absl::StatusOr<Bytes> update = ports_.payloads->Get(step.update);
  if (!update.ok()) return LostOrLater(step.update, update.status());
  const secagg::SessionConfig& config = session.config();
  absl::StatusOr<RingVector> ring =
      UnpackLanes(*update, static_cast<LaneBits>(config.lane_bits), config.dimension);
  if (!ring.ok()) return PayloadLost{.sha256 = step.update, .status = ring.status()};
  const absl::StatusOr<RingVector> noisy = NoisyInput(step.plan, step.parameters, session, *std::move(ring));
  if (!noisy.ok()) return CellRefused{step.cell, noisy.status()};
  const absl::StatusOr<Bytes> masked = session.Mask(*noisy);
  if (!masked.ok()) return CellRefused{step.cell, masked.status()};
  // Before anything says that these bytes may leave. What fails from here on stays charged.
  const absl::Status paid = ports_.books->Charge(step.plan, step.parameters, session.session());
  if (!paid.ok()) return Unpaid(step.cell, paid);
  const absl::StatusOr<Digest> kept = Keep(*masked);
  const absl::StatusOr<Digest> saved = KeepSession(std::move(session));
  if (!kept.ok()) return Later(kept.status());
  if (!saved.ok()) return Later(saved.status());
  return CellMasked{.session = *saved, .sha256 = *kept, .size = masked->size()};
}

absl::Status CellPerformer::Load(const Digest& saved) {
  if (session_.has_value() && session_->first == saved) return absl::OkStatus();
  session_.reset();
  ASSIGN_OR_RETURN(Bytes bytes, ports_.payloads->Get(saved));
  absl::StatusOr<ClientSession> session = ClientSession::Load(settings_.identity, settings_.policy, bytes);
  Wipe(bytes);
  if (!session.ok()) return absl::DataLossError(std::string(session.status().message()));
  session_.emplace(saved, *std::move(session));
  return absl::OkStatus();
}

// A session that goes on is at hand again only when it is saved: until then what was saved before counts.
ClientSession CellPerformer::TakeOut() {
  ClientSession session = std::move(session_->second);
  session_.reset();
  return session;
}

absl::StatusOr<Digest> CellPerformer::KeepSession(ClientSession session) {
  Bytes bytes = session.Save();
  const absl::StatusOr<Digest> kept = Keep(bytes);
  Wipe(bytes);
  if (kept.ok()) session_.emplace(*kept, std::move(session));
  return kept;
}

absl::StatusOr<Digest> CellPerformer::Keep(std::span<const uint8_t> bytes) {
  const Digest sha256 = Sha256(bytes);
  RETURN_IF_ERROR(ports_.payloads->Put(sha256, bytes));
  return sha256;
}

}  // namespace fleetune
