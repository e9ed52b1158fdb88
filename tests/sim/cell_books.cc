#include "tests/sim/cell_books.h"

#include <algorithm>

#include "aggregation/encode/lanes.h"
#include "aggregation/secagg/roster.h"
#include "aggregation/secagg/server_session.h"
#include "aggregation/secagg/transcript.h"
#include "aggregation/secagg/unmask.h"
#include "aggregation/secagg/view.h"
#include "coordinator/core/round_event.h"
#include "fmt/format.h"

namespace fleetune {
namespace {

using secagg::Bitmap;
using secagg::MessageKind;
using secagg::ServerPhase;
using secagg::ServerSession;
using secagg::SessionEvent;

MessageKind KindOf(std::span<const uint8_t> message) { return secagg::PeekKind(message).value(); }

}  // namespace

void CellBooks::Complain(std::string what) {
  if (violations_.size() < 20) violations_.push_back(std::move(what));
}

// FNV-1a.
void CellBooks::Mix(const std::string& device, std::span<const uint8_t> bytes) {
  const auto mix = [this](std::span<const uint8_t> part) {
    for (const uint8_t byte : part) hash_ = (hash_ ^ byte) * 0x100000001b3u;
  };
  mix(AsBytes(device));
  mix(bytes);
}

void CellBooks::Offers(const SeatOffer& offer) {
  Mix(offer.cell, offer.config);
  Cell& cell = cells_[offer.cell];
  const Digest hash = secagg::ConfigHash(offer.config);
  if (cell.config_hash != Digest{} && cell.config_hash != hash) Complain(offer.cell + ": offered with two configs");
  cell.config_hash = hash;
}

void CellBooks::Says(const std::string& id, const std::string& device, const CellAnswer& answer) {
  Cell& cell = cells_[id];
  Mix(device, answer.message);
  if (cell.state != "open" && answer.kind != CellAnswer::Kind::kOver) {
    Complain(fmt::format("{}: has {}, but {} is told something else", id, cell.state, device));
  }
  if (answer.kind != CellAnswer::Kind::kMessage) return;
  switch (KindOf(answer.message)) {
    case MessageKind::kRoster:
      return HearRoster(cell, device, answer.message);
    case MessageKind::kView:
      return CheckSaidView(cell, id, secagg::ParseView(answer.message, cell.session, cell.cohort).value());
    case MessageKind::kUnmaskRequest:
      return CheckSaidView(
          cell, id,
          secagg::ParseUnmaskRequest(answer.message, cell.session, cell.cohort, cell.neighbours.at(device))
              .value()
              .survivors);
    default:
      return;
  }
}

void CellBooks::HearRoster(Cell& cell, const std::string& device, const Bytes& message) {
  if (cell.neighbours.contains(device)) return;
  const secagg::RosterMessage roster = secagg::ParseRosterMessage(message, cell.config_hash).value();
  cell.session = secagg::SessionId(cell.config_hash, roster.roster);
  cell.cohort = static_cast<uint32_t>(roster.roster.size());
  cell.neighbours[device] = static_cast<uint32_t>(roster.neighbours.size());
}

void CellBooks::CheckSaidView(Cell& cell, const std::string& id, const Bitmap& view) {
  if (!cell.view_durable) Complain(id + ": a view was sent that is not durable");
  if (!cell.view.has_value()) {
    cell.view = view;
    Bitmap logged(cell.cohort);
    for (const SessionEvent& event : cell.log) {
      if (event.kind == SessionEvent::Kind::kCommitted) logged.Add(event.seat);
    }
    if (view != logged) Complain(id + ": the view that was sent is not of the inputs in the log");
  }
  if (*cell.view != view) Complain(id + ": the coordinator speaks of two views");
}

void CellBooks::Wrote() {
  std::string finished;
  for (const auto& [id, record] : tables_.cells) {
    Cell& cell = cells_[id];
    if (cell.state != "open") {
      if (record.state != cell.state) Complain(id + ": was " + cell.state + ", is " + record.state);
      continue;
    }
    cell.round = record.round;
    if (record.state == "open") {
      ReadLog(id, cell);
      continue;
    }
    cell.state = record.state;
    if (record.state == "failed") CheckFailed(id, cell, record.reason);
    if (record.state == "finished") {
      ++counts_.finished;
      finished = id;
      if (record.counted < 3) Complain(fmt::format("{}: a sum of {} was opened", id, record.counted));
    }
  }
  for (const auto& [id, record] : tables_.rounds) ReadRound(id, finished);
}

void CellBooks::ReadLog(const std::string& id, Cell& cell) {
  for (;;) {
    const auto next = tables_.cell_events.find({id, static_cast<uint32_t>(cell.log.size())});
    if (next == tables_.cell_events.end()) return;
    cell.log.push_back(secagg::ParseSessionEvent(next->second).value());
    cell.view_durable = cell.view_durable || cell.log.back().kind == SessionEvent::Kind::kInputsClosed;
  }
}

void CellBooks::ReadRound(const std::string& round, const std::string& finished_cell) {
  uint32_t& read = events_read_[round];
  RingVector& expected = expected_[round];
  for (;;) {
    const auto next = tables_.events.find({round, read});
    if (next == tables_.events.end()) break;
    ++read;
    const RoundEvent event = DecodeRoundEvent(next->second).value();
    const auto* counted = std::get_if<CellCounted>(&event);
    if (counted == nullptr) continue;
    if (finished_cell.empty()) Complain(round + ": devices are counted of no cell");
    for (const std::string& device : counted->devices) {
      if (!counted_[round].insert(device).second) Complain(fmt::format("{}: {} is counted twice", round, device));
      const std::optional<RingVector>& input = cells_[finished_cell].devices[device].input;
      if (!input.has_value()) {
        Complain(fmt::format("{}: {} is counted, but masked no input", finished_cell, device));
        continue;
      }
      expected.resize(input->size());
      for (size_t i = 0; i < input->size(); ++i) {
        expected[i] += static_cast<uint32_t>(SignedElement((*input)[i], lane_));
      }
    }
  }
  const auto sum = tables_.sums.find(round);
  if (sum != tables_.sums.end() && sum->second != expected) {
    Complain(fmt::format("{}: its sum is not of the {} inputs that are counted", round, counted_[round].size()));
  }
}

void CellBooks::CheckFailed(const std::string& id, const Cell& cell, const std::string& reason) {
  ++counts_.failed;
  const ServerSession session = ServerSession::Replay(cell.log).value();
  if (session.phase() != ServerPhase::kUnmask) return;  // Close() sees that nobody released anything
  ++counts_.failed_unmasking;
  // An operator may throw away a sum that devices have agreed to open.
  if (tables_.rounds.at(cell.round).reason.starts_with("aborted by admin:")) return;
  if (session.RecoverMasks().ok()) Complain(fmt::format("{}: failed ({}), and its sum can be opened", id, reason));
}

void CellBooks::Masks(const std::string& id, const std::string& device, const RingVector& input) {
  std::optional<RingVector>& before = cells_[id].devices[device].input;
  if (before.has_value() && *before != input) Complain(fmt::format("{}: {} masks a second input", id, device));
  before = input;
}

void CellBooks::NoteView(const std::string& who, Said& said, const Bitmap& view) {
  if (said.view.has_value() && *said.view != view) Complain(who + " answers a second view");
  said.view = view;
}

void CellBooks::Answers(const std::string& id, const std::string& device, const Bytes& message, const Bytes& answer) {
  Cell& cell = cells_[id];
  Said& said = cell.devices[device];
  const std::string who = id + ": " + device;
  const MessageKind kind = KindOf(message);
  const auto [before, first] = said.answers.emplace(static_cast<uint8_t>(kind), answer);
  if (!first && before->second != answer) Complain(fmt::format("{} gives two answers to kind {}", who, before->first));
  if (kind == MessageKind::kView) {
    NoteView(who, said, secagg::ParseView(message, cell.session, cell.cohort).value());
  }
  if (kind != MessageKind::kUnmaskRequest) return;
  const secagg::UnmaskRequest request =
      secagg::ParseUnmaskRequest(message, cell.session, cell.cohort, cell.neighbours.at(device)).value();
  NoteView(who, said, request.survivors);
  for (uint32_t i = 0; i < request.alive.size(); ++i) {
    if (request.alive.Has(i)) said.seeds.insert(i);
    if (request.dropped.Has(i)) said.keys.insert(i);
    if (said.seeds.contains(i) && said.keys.contains(i)) Complain(who + " releases both shares of a neighbour");
  }
  if (cell.state == "failed") ++counts_.late_shares;
}

void CellBooks::CloseRound(const std::string& round) {
  const RoundRecord& record = tables_.rounds.at(round);
  if (record.counted != counted_[round].size()) {
    Complain(fmt::format("{}: says that {} are counted, but {} are in its sum", round, record.counted,
                         counted_[round].size()));
  }
  const bool enough = record.counted >= record.needed;
  if (record.state == "done" ? !enough : record.state != "aborted") {
    Complain(fmt::format("{}: ended as {} with {} of {}", round, record.state, record.counted, record.needed));
  }
  for (const auto& [id, cell] : cells_) {
    if (cell.round == round && cell.state == "open") Complain(id + ": outlives its round");
  }
}

void CellBooks::Close() {
  std::map<std::string, uint64_t> rounds_counted;
  for (const auto& [round, devices] : counted_) {
    for (const std::string& device : devices) ++rounds_counted[device];
  }
  for (const auto& [id, device] : tables_.devices) {
    if (device.rounds_counted != rounds_counted[id]) Complain(id + ": is counted in another number of rounds");
  }
  for (const auto& [round, devices] : told_) {
    for (const std::string& device : devices) {
      if (!counted_[round].contains(device)) {
        Complain(fmt::format("{}: {} was told that it is counted, and is not", round, device));
      }
    }
  }
  for (const auto& [id, cell] : cells_) {
    for (const auto& [device, said] : cell.devices) {
      const bool released = !said.seeds.empty() || !said.keys.empty();
      if (released && !cell.view_durable) {
        Complain(fmt::format("{}: {} released shares, and there was no view", id, device));
      }
    }
  }
}

}  // namespace fleetune
