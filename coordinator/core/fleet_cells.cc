// Cells of a round: seats, and what devices and coordinator say to each other in them. What becomes of their sums
// stands in fleet_cell_sums.cc.

#include <algorithm>
#include <utility>

#include "aggregation/secagg/transcript.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "coordinator/core/cell_config.h"
#include "coordinator/core/fleet_state.h"

namespace fleetune {
namespace {

using secagg::ServerPhase;
using secagg::ServerSession;
using secagg::SessionEvent;

// Devices ask again this often: a session lasts seconds to minutes, and each answer may end a phase.
constexpr std::chrono::milliseconds kCellPoll = std::chrono::milliseconds(500);
constexpr std::chrono::milliseconds kLargeCellPoll = std::chrono::seconds(5);
constexpr uint32_t kLargeCell = 256;

CellRecord EndOf(const OpenCell& cell, const std::string& state, const std::string& reason) {
  CellRecord record = cell.record;
  record.state = state;
  record.reason = reason;
  record.seats = cell.session.advertised();
  record.counted = state == "finished" ? cell.session.committed() : 0;
  return record;
}

absl::Status DeleteCellData(const std::string& cell, FleetTransaction& transaction) {
  RETURN_IF_ERROR(transaction.DeleteCellEvents(cell));
  RETURN_IF_ERROR(transaction.DeleteUploads(cell));
  return transaction.DeleteSum(cell);
}

// Devices that hold a place, are not counted and sit in no cell that goes on, and places that nobody holds yet.
uint32_t WaitingForSeats(const OpenRound& round, const std::map<std::string, OpenCell>& cells) {
  uint32_t seated = 0;
  for (const auto& [id, cell] : cells) {
    if (cell.record.round == round.record.id) seated += cell.session.advertised();
  }
  const uint32_t open = round.machine.open_places();
  return open - std::min(open, seated);
}

}  // namespace

ServerSession* Fleet::State::FindOpenCell(const std::string& id) {
  const auto cell = memory.cells.find(id);
  return cell == memory.cells.end() ? nullptr : &cell->second.session;
}

absl::StatusOr<SeatOffer> Fleet::TakeSeat(const std::string& device, const std::string& round_id) {
  RETURN_IF_ERROR(state_->Refresh());
  RETURN_IF_ERROR(state_->FindDevice(device).status());
  ASSIGN_OR_RETURN(const OpenRound round, state_->FindRound(round_id));
  ASSIGN_OR_RETURN(FleetTask* const task, state_->FindTask(round.record.task));
  const auto seat = round.machine.SeatOf(device);
  if (round.machine.phase() != RoundPhase::kCollecting) {
    return absl::FailedPreconditionError("round " + round_id + " is over");
  }
  if (!seat || (*seat != RoundSeat::kInvited && *seat != RoundSeat::kUploading)) {
    return absl::FailedPreconditionError("this device holds no place in round " + round_id);
  }
  if (task->spec.plan.secure.mode == SecureMode::kOff) {
    return absl::FailedPreconditionError("task " + round.record.task + " does without secure aggregation");
  }
  const auto offer = [&](const OpenCell& cell) {
    const Bytes& config = cell.session.config_bytes();
    return SeatOffer{.cell = cell.record.id,
                     .config = config,
                     .signature = state_->ports.release_key->Sign(SignPurpose::kSecAggConfig, config)};
  };
  const OpenCell* filling = nullptr;
  for (const auto& [id, cell] : state_->memory.cells) {
    if (cell.record.round != round_id) continue;
    if (cell.session.Advertised(device)) return offer(cell);
    if (cell.session.phase() == ServerPhase::kAdvertise &&
        cell.session.advertised() < cell.session.config().max_cohort) {
      filling = &cell;
    }
  }
  if (filling != nullptr) return offer(*filling);

  const uint32_t waiting = WaitingForSeats(round, state_->memory.cells);
  ASSIGN_OR_RETURN(const std::vector<CellRecord> before, state_->ports.store->Cells(round_id));
  const auto number = static_cast<uint32_t>(before.size()) + 1;
  const CellSource source{.task = *task, .round = round, .number = number, .waiting = waiting};
  const secagg::SessionConfig config = MakeCellConfig(source, *state_->ports.random);
  ASSIGN_OR_RETURN(ServerSession session, ServerSession::Open(secagg::EncodeSessionConfig(config)));
  OpenCell cell{.record = {.id = round_id + "." + std::to_string(source.number),
                           .round = round_id,
                           .number = source.number,
                           .state = "open",
                           .reason = {}},
                .session = std::move(session),
                .next_event = 1,
                .phase_since = state_->Now()};
  RETURN_IF_ERROR(state_->Write({}, [&](FleetTransaction& transaction) -> absl::Status {
    RETURN_IF_ERROR(transaction.PutCell(cell.record));
    return transaction.AppendCellEvent(cell.record.id, 0, EncodeSessionEvent(cell.session.OpenedEvent()));
  }));
  const SeatOffer made = offer(cell);
  state_->memory.cells.emplace(made.cell, std::move(cell));
  return made;
}

absl::StatusOr<CellAnswer> Fleet::ExchangeCell(const secagg::VerifiedPeer& peer, const std::string& cell_id,
                                               std::span<const uint8_t> message) {
  RETURN_IF_ERROR(state_->Refresh());
  RETURN_IF_ERROR(state_->FindDevice(peer.device).status());
  const ServerSession* session = state_->FindOpenCell(cell_id);
  if (session != nullptr && !message.empty()) {
    const auto verify = [this](std::span<const uint8_t> certificate) { return state_->VerifyPeer(certificate); };
    ASSIGN_OR_RETURN(const std::optional<SessionEvent> event, session->Check(peer, message, verify));
    if (event.has_value()) {
      RETURN_IF_ERROR(state_->AdvanceCell(cell_id, *event, [](FleetTransaction&) { return absl::OkStatus(); }));
      RETURN_IF_ERROR(state_->PumpCell(cell_id));
    }
    session = state_->FindOpenCell(cell_id);
  }
  if (session == nullptr) {
    const absl::StatusOr<CellRecord> record = state_->ports.store->FindCell(cell_id);
    if (absl::IsNotFound(record.status())) return absl::NotFoundError("there is no cell \"" + cell_id + "\"");
    RETURN_IF_ERROR(record.status());
    ASSIGN_OR_RETURN(const OpenRound round, state_->FindRound(record->round));
    return CellAnswer{.kind = CellAnswer::Kind::kOver,
                      .message = {},
                      .counted = round.machine.SeatOf(peer.device) == RoundSeat::kCounted};
  }
  ASSIGN_OR_RETURN(secagg::NextForDevice next, session->NextFor(peer.device));
  using Kind = secagg::NextForDevice::Kind;
  CellAnswer answer{.kind = CellAnswer::Kind::kWait, .message = std::move(next.message), .counted = next.counted};
  if (next.kind == Kind::kMessage) answer.kind = CellAnswer::Kind::kMessage;
  if (next.kind == Kind::kOver) answer.kind = CellAnswer::Kind::kOver;
  if (next.kind == Kind::kWait) answer.ask_again_in = session->advertised() > kLargeCell ? kLargeCellPoll : kCellPoll;
  return answer;
}

absl::StatusOr<secagg::VerifiedPeer> Fleet::State::VerifyPeer(std::span<const uint8_t> certificate) const {
  if (ports.verify_peer) return ports.verify_peer(certificate);
  ASSIGN_OR_RETURN(const PeerIdentity peer, certificates->Verify(certificate, Now()));
  return secagg::VerifiedPeer{.device = peer.name, .identity = *peer.identity_key};
}

absl::Status Fleet::State::AdvanceCell(const std::string& id, const SessionEvent& event, TransactionBody also) {
  OpenCell& cell = memory.cells.at(id);
  const bool fails = event.kind == SessionEvent::Kind::kFailed;
  std::vector<AuditNote> notes;
  if (fails) {
    notes.push_back({"coordinator", "cell.failed", id + ": " + std::string(AsText(event.body))});
  }
  RETURN_IF_ERROR(Write(notes, [&](FleetTransaction& transaction) -> absl::Status {
    if (fails) {
      RETURN_IF_ERROR(transaction.PutCell(EndOf(cell, "failed", std::string(AsText(event.body)))));
      RETURN_IF_ERROR(DeleteCellData(id, transaction));
    } else {
      RETURN_IF_ERROR(transaction.AppendCellEvent(id, cell.next_event, EncodeSessionEvent(event)));
      // V is fixed with this write: from here on devices may be asked to open the sum.
      if (event.kind == SessionEvent::Kind::kInputsClosed) RETURN_IF_ERROR(ChargeCell(cell, transaction));
    }
    return also(transaction);
  }));
  if (fails) {
    memory.cells.erase(id);
    return absl::OkStatus();
  }
  const ServerPhase before = cell.session.phase();
  cell.session.Apply(event);
  ++cell.next_event;
  if (cell.session.phase() != before) cell.phase_since = Now();
  return absl::OkStatus();
}

absl::Status Fleet::State::PumpCell(const std::string& id) {
  const auto nothing = [](FleetTransaction&) { return absl::OkStatus(); };
  for (;;) {
    const auto found = memory.cells.find(id);
    if (found == memory.cells.end()) return absl::OkStatus();
    const OpenCell& cell = found->second;
    const ServerSession& session = cell.session;
    // When its round ends, a sum that can be opened is, although some have not answered yet.
    const bool last_call = session.phase() == ServerPhase::kUnmask &&
                           Now() >= memory.rounds.at(cell.record.round).machine.options().deadline;
    const bool over = last_call || Now() - cell.phase_since >= session.phase_time();
    // A cell that nobody sits in yet may wait for as long as its round.
    if (session.phase() == ServerPhase::kAdvertise && session.advertised() == 0) return absl::OkStatus();
    if (const std::optional<SessionEvent> due = session.Due(over); due.has_value()) {
      RETURN_IF_ERROR(AdvanceCell(id, *due, nothing));
      // Closing the roster may fail the session itself.
      if (ServerSession* after = FindOpenCell(id); after != nullptr && after->phase() == ServerPhase::kFailed) {
        const std::string why = after->failure();
        RETURN_IF_ERROR(
            AdvanceCell(id, {.kind = SessionEvent::Kind::kFailed, .body = Bytes(why.begin(), why.end())}, nothing));
      }
      continue;
    }
    if (session.phase() != ServerPhase::kUnmask || !session.EnoughShares() || (!over && !session.AllUnmasked())) {
      return absl::OkStatus();
    }
    absl::StatusOr<secagg::RecoveredMasks> masks =
        session.RecoverMasks([this](size_t tasks, absl::FunctionRef<void(size_t)> work) { RunTasks(tasks, work); });
    if (masks.ok()) return FinishCell(id, *std::move(masks));
    const std::string why = std::string(masks.status().message()) + UnsignedOf(session);
    return AdvanceCell(id, {.kind = SessionEvent::Kind::kFailed, .body = Bytes(why.begin(), why.end())}, nothing);
  }
}

std::string Fleet::State::UnsignedOf(const ServerSession& session) const {
  std::string words;
  for (const std::string& device :
       session.Unsigned([this](std::span<const uint8_t> certificate) { return VerifyPeer(certificate); })) {
    words += (words.empty() ? "; not signed by their devices: the messages of " : ", ") + device;
  }
  return words;
}

void Fleet::State::RunTasks(size_t tasks, absl::FunctionRef<void(size_t)> work) const {
  if (ports.parallel != nullptr) return ports.parallel->Run(tasks, work);
  secagg::OneAfterTheOther(tasks, work);
}

absl::Status Fleet::State::WriteCellsOfEndedRound(const std::string& round, FleetTransaction& transaction) const {
  for (const auto& [id, cell] : memory.cells) {
    if (cell.record.round != round) continue;
    RETURN_IF_ERROR(transaction.PutCell(EndOf(cell, "failed", "the round ended")));
    RETURN_IF_ERROR(DeleteCellData(id, transaction));
  }
  return absl::OkStatus();
}

void Fleet::State::ForgetCells(const std::string& round) {
  std::erase_if(memory.cells, [&round](const auto& entry) { return entry.second.record.round == round; });
}

}  // namespace fleetune
