// The parts of the coordinator's session that belong to no single phase.

#include "aggregation/secagg/server_session.h"

#include <algorithm>
#include <utility>

#include "aggregation/secagg/server_state.h"
#include "aggregation/secagg/transcript.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {

using Kind = SessionEvent::Kind;

std::string_view ServerPhaseName(ServerPhase phase) {
  switch (phase) {
    case ServerPhase::kAdvertise:
      return "seating";
    case ServerPhase::kShareKeys:
      return "sharing keys";
    case ServerPhase::kMaskedInput:
      return "collecting";
    case ServerPhase::kView:
      return "agreeing on the view";
    case ServerPhase::kUnmask:
      return "unmasking";
    case ServerPhase::kFinished:
      return "finished";
    case ServerPhase::kFailed:
      return "failed";
  }
  return "";
}

ServerSession::ServerSession(std::unique_ptr<State> state) : state_(std::move(state)) {}
ServerSession::ServerSession(const ServerSession& other) : state_(std::make_unique<State>(*other.state_)) {}
ServerSession& ServerSession::operator=(const ServerSession& other) {
  if (this != &other) state_ = std::make_unique<State>(*other.state_);
  return *this;
}
ServerSession::ServerSession(ServerSession&&) noexcept = default;
ServerSession& ServerSession::operator=(ServerSession&&) noexcept = default;
ServerSession::~ServerSession() = default;

absl::StatusOr<ServerSession> ServerSession::Open(std::span<const uint8_t> config) {
  auto state = std::make_unique<State>();
  ASSIGN_OR_RETURN(state->config, ParseSessionConfig(config));
  state->config_bytes.assign(config.begin(), config.end());
  state->config_hash = ConfigHash(config);
  return ServerSession(std::move(state));
}

absl::StatusOr<ServerSession> ServerSession::Replay(std::span<const SessionEvent> events) {
  if (events.empty() || events.front().kind != Kind::kOpened) {
    return absl::DataLossError("session: its log does not begin with its config");
  }
  absl::StatusOr<ServerSession> session = Open(events.front().body);
  if (!session.ok()) return absl::DataLossError("session: " + std::string(session.status().message()));
  for (const SessionEvent& event : events.subspan(1)) session->Apply(event);
  return session;
}

SessionEvent ServerSession::OpenedEvent() const { return {.kind = Kind::kOpened, .body = state_->config_bytes}; }

std::optional<SessionEvent> ServerSession::Due(bool time_over) const {
  const auto close = [](Kind kind) { return SessionEvent{.kind = kind, .body = {}}; };
  const auto fail = [](std::string_view why) {
    return SessionEvent{.kind = Kind::kFailed, .body = Bytes(why.begin(), why.end())};
  };
  const bool over = time_over || answered() == asked();
  const uint32_t needed = FewestInputs(state_->config, static_cast<uint32_t>(state_->roster.size()));
  switch (state_->phase) {
    case ServerPhase::kAdvertise:
      if (!over) return std::nullopt;
      if (advertised() < state_->config.min_cohort) {
        return fail(fmt::format("{} devices took a seat, {} are needed", advertised(), state_->config.min_cohort));
      }
      return close(Kind::kRosterClosed);
    case ServerPhase::kShareKeys:
      if (!over) return std::nullopt;
      if (const uint32_t active = state_->ActiveAfterSharing().Count(); active < needed) {
        return fail(fmt::format("{} devices shared keys with enough others, {} are needed", active, needed));
      }
      return close(Kind::kSharesClosed);
    case ServerPhase::kMaskedInput:
      if (!over) return std::nullopt;
      if (committed() < needed) {
        return fail(fmt::format("{} inputs arrived, {} are needed", committed(), needed));
      }
      if (!state_->InputsCanBeOpened()) return fail("around one device too many others dropped out");
      return close(Kind::kInputsClosed);
    case ServerPhase::kView:
      if (!over) return std::nullopt;
      if (answered() < state_->threshold) {
        return fail(fmt::format("{} devices signed the view, {} are needed", answered(), state_->threshold));
      }
      return close(Kind::kViewsClosed);
    case ServerPhase::kUnmask:
      if (over && !EnoughShares()) return fail("too few devices released their shares");
      return std::nullopt;
    case ServerPhase::kFinished:
    case ServerPhase::kFailed:
      return std::nullopt;
  }
  return std::nullopt;
}

void ServerSession::Apply(SessionEvent event) {
  State& state = *state_;
  const auto in = [&state](ServerPhase phase) { return state.phase == phase; };
  const bool seated = event.seat < state.participants.size();
  switch (event.kind) {
    case Kind::kOpened:
      return;
    case Kind::kAdvertised:
      if (in(ServerPhase::kAdvertise)) state.ApplyAdvertised(std::move(event));
      return;
    case Kind::kRosterClosed:
      if (in(ServerPhase::kAdvertise)) state.CloseRoster();
      return;
    case Kind::kShared:
      if (in(ServerPhase::kShareKeys) && seated) state.ApplyShared(std::move(event));
      return;
    case Kind::kSharesClosed:
      if (!in(ServerPhase::kShareKeys)) return;
      state.active = state.ActiveAfterSharing();
      state.phase = ServerPhase::kMaskedInput;
      return;
    case Kind::kCommitted:
      if (in(ServerPhase::kMaskedInput) && seated) state.ApplyCommitted(event);
      return;
    case Kind::kInputsClosed:
      if (in(ServerPhase::kMaskedInput)) state.CloseInputs();
      return;
    case Kind::kViewSigned:
      if (in(ServerPhase::kView) && seated) state.ApplyViewSigned(event);
      return;
    case Kind::kViewsClosed:
      if (in(ServerPhase::kView)) state.phase = ServerPhase::kUnmask;
      return;
    case Kind::kUnmasked:
      if (in(ServerPhase::kUnmask) && seated) state.ApplyUnmasked(std::move(event));
      return;
    case Kind::kFinished:
      if (in(ServerPhase::kUnmask)) state.phase = ServerPhase::kFinished;
      return;
    case Kind::kFailed:
      if (!in(ServerPhase::kFinished)) state.Fail(std::string(AsText(event.body)));
      return;
  }
}

absl::StatusOr<NextForDevice> ServerSession::NextFor(std::string_view device) const {
  using NextKind = NextForDevice::Kind;
  const State& state = *state_;
  const auto message = [](Bytes bytes) {
    return NextForDevice{.kind = NextKind::kMessage, .message = std::move(bytes)};
  };
  const NextForDevice wait{.kind = NextKind::kWait, .message = {}};
  const NextForDevice over{.kind = NextKind::kOver, .message = {}};
  if (!Advertised(device)) return absl::FailedPreconditionError("this device has no seat in the cell");
  if (state.phase == ServerPhase::kAdvertise) return wait;
  const std::optional<uint32_t> seat = SeatOf(state.roster, device);
  if (!seat.has_value()) return over;  // the cell failed before its roster closed
  const Participant& participant = state.participants[*seat];
  switch (state.phase) {
    case ServerPhase::kAdvertise:
      return wait;
    case ServerPhase::kShareKeys:
      return participant.shared() ? wait : message(state.RosterFor(participant));
    case ServerPhase::kMaskedInput:
      if (!state.active.Has(*seat)) return over;
      return participant.committed ? wait : message(state.SharesFor(participant));
    case ServerPhase::kView:
      if (!participant.committed) return over;
      return participant.view_signature.has_value() ? wait : message(state.ViewMessage());
    case ServerPhase::kUnmask:
      if (!participant.committed) return over;
      if (participant.unmasked() || (state.malicious() && !participant.view_signature.has_value())) return wait;
      return message(EncodeUnmaskRequest(state.UnmaskRequestFor(participant), state.session));
    case ServerPhase::kFinished:
      return NextForDevice{.kind = NextKind::kOver, .message = {}, .counted = participant.committed};
    case ServerPhase::kFailed:
      return over;
  }
  return over;
}

ServerPhase ServerSession::phase() const { return state_->phase; }
const SessionConfig& ServerSession::config() const { return state_->config; }
const Digest& ServerSession::config_hash() const { return state_->config_hash; }
const Bytes& ServerSession::config_bytes() const { return state_->config_bytes; }
const std::string& ServerSession::failure() const { return state_->failure; }

std::chrono::milliseconds ServerSession::phase_time() const {
  const PhaseTimes& times = state_->config.times;
  switch (state_->phase) {
    case ServerPhase::kAdvertise:
      return times.advertise;
    case ServerPhase::kShareKeys:
      return times.share_keys;
    case ServerPhase::kMaskedInput:
      return times.masked_input;
    case ServerPhase::kView:
      return times.view;
    case ServerPhase::kUnmask:
      return times.unmask;
    case ServerPhase::kFinished:
    case ServerPhase::kFailed:
      break;
  }
  return std::chrono::milliseconds(0);
}

uint32_t ServerSession::advertised() const {
  return static_cast<uint32_t>(std::max(state_->entries.size(), state_->participants.size()));
}

bool ServerSession::Advertised(std::string_view device) const {
  return state_->entries.contains(device) || SeatOf(state_->roster, device).has_value();
}

uint32_t ServerSession::committed() const { return state_->committed; }

bool ServerSession::Committed(std::string_view device) const {
  const std::optional<uint32_t> seat = SeatOf(state_->roster, device);
  return seat.has_value() && state_->participants[*seat].committed;
}

uint32_t ServerSession::shared() const { return state_->shared; }

uint32_t ServerSession::answered() const {
  switch (state_->phase) {
    case ServerPhase::kAdvertise:
      return advertised();
    case ServerPhase::kShareKeys:
      return shared();
    case ServerPhase::kView:
      return state_->view_signed;
    case ServerPhase::kUnmask:
      return state_->unmasked;
    default:
      return committed();
  }
}

uint32_t ServerSession::asked() const {
  switch (state_->phase) {
    case ServerPhase::kAdvertise:
      return state_->config.max_cohort;
    case ServerPhase::kShareKeys:
      return advertised();
    case ServerPhase::kMaskedInput:
      return state_->active.Count();
    case ServerPhase::kUnmask:
      return state_->malicious() ? state_->view_signed : committed();
    default:
      return committed();
  }
}

std::vector<std::string> ServerSession::devices() const {
  std::vector<std::string> devices;
  for (const auto& [device, entry] : state_->entries) devices.push_back(device);
  for (const Participant& participant : state_->participants) devices.push_back(participant.device);
  return devices;
}

const Digest& ServerSession::session() const { return state_->session; }

std::vector<std::string> ServerSession::counted() const {
  std::vector<std::string> devices;
  if (!state_->inputs_closed) return devices;
  for (const Participant& participant : state_->participants) {
    if (participant.committed) devices.push_back(participant.device);
  }
  return devices;
}

void ServerSession::State::Fail(std::string why) {
  phase = ServerPhase::kFailed;
  failure = std::move(why);
}

absl::StatusOr<uint32_t> ServerSession::State::SeatIn(ServerPhase wanted, std::string_view device,
                                                      std::string_view what) const {
  if (phase != wanted) {
    return absl::FailedPreconditionError(fmt::format("{}: the cell is {}", what, ServerPhaseName(phase)));
  }
  const std::optional<uint32_t> seat = SeatOf(roster, device);
  if (!seat.has_value()) return absl::FailedPreconditionError(fmt::format("{}: this device has no seat", what));
  return *seat;
}

}  // namespace fleetune::secagg
