#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "aggregation/encode/lanes.h"
#include "aggregation/encode/ring.h"
#include "aggregation/secagg/bitmap.h"
#include "aggregation/secagg/session_event.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "coordinator/core/fleet_types.h"
#include "tests/support/memory_fleet_store.h"

namespace fleetune {

// What an all-seeing witness of a CellWorld writes down, and holds against what must be true:
//
//   a finished cell adds to its round exactly the inputs of the devices that it names;
//   of a cell that fails nothing can be opened: no device released a share to it, or (it failed while unmasking) too
//     few did, unless an operator aborted the round just then; once it has failed the coordinator asks nobody for
//     anything in it;
//   in a session there is one view, ever: the coordinator speaks of one alone, after it is durable, and of exactly the
//     inputs that its log has; a device answers one alone, gives one answer to each question, masks one input, and
//     never releases both shares of a neighbour;
//   a device is counted at most once in a round, and is in the sum if it was told so.
//
// Borrows the coordinator's tables.
class CellBooks {
 public:
  explicit CellBooks(const MemoryFleetStore::Tables& tables, LaneBits lane) : tables_(tables), lane_(lane) {}

  // --- what the coordinator does ---
  void Offers(const SeatOffer& offer);
  void Says(const std::string& cell, const std::string& device, const CellAnswer& answer);
  void Wrote();  // after each write that took effect

  // --- what devices do ---
  void Sends(const std::string& device, std::span<const uint8_t> bytes) { Mix(device, bytes); }
  void Masks(const std::string& cell, const std::string& device, const RingVector& input);
  // A device's session took `message` and gave `answer`.
  void Answers(const std::string& cell, const std::string& device, const Bytes& message, const Bytes& answer);
  void IsTold(const std::string& round, const std::string& device) { told_[round].insert(device); }

  void CloseRound(const std::string& round);  // once it has ended
  void Close();                               // at the end of the run

  void Complain(std::string what);
  const std::vector<std::string>& violations() const { return violations_; }
  // Of all messages, in order.
  uint64_t hash() const { return hash_; }

  struct Counts {
    uint32_t finished = 0;
    uint32_t failed = 0;
    uint32_t failed_unmasking = 0;
    uint32_t late_shares = 0;  // unmask messages of devices
  };
  const Counts& counts() const { return counts_; }

 private:
  // What a device said in a session.
  struct Said {
    std::map<uint8_t, Bytes> answers;  // by the kind of question
    std::optional<secagg::Bitmap> view;
    std::set<uint32_t> seeds;  // neighbours (positions) whose seeds' shares it released,
    std::set<uint32_t> keys;   // and whose mask keys'
    std::optional<RingVector> input;
  };
  struct Cell {
    std::string round;
    Digest config_hash;
    Digest session;
    uint32_t cohort = 0;                         // 0: the roster is not known
    std::map<std::string, uint32_t> neighbours;  // how many a device has
    std::optional<secagg::Bitmap> view;          // that the coordinator spoke of
    std::map<std::string, Said> devices;
    std::vector<secagg::SessionEvent> log;
    std::string state = "open";
    bool view_durable = false;
  };

  void Mix(const std::string& device, std::span<const uint8_t> bytes);
  void HearRoster(Cell& cell, const std::string& device, const Bytes& message);
  void CheckSaidView(Cell& cell, const std::string& id, const secagg::Bitmap& view);
  void ReadLog(const std::string& id, Cell& cell);
  void ReadRound(const std::string& round, const std::string& finished_cell);
  void CheckFailed(const std::string& id, const Cell& cell, const std::string& reason);
  void NoteView(const std::string& who, Said& said, const secagg::Bitmap& view);

  const MemoryFleetStore::Tables& tables_;
  LaneBits lane_;
  std::map<std::string, Cell> cells_;
  std::map<std::string, uint32_t> events_read_;  // of a round
  std::map<std::string, std::set<std::string>> counted_;
  std::map<std::string, std::set<std::string>> told_;
  std::map<std::string, RingVector> expected_;  // by round
  std::vector<std::string> violations_;
  uint64_t hash_ = 0xcbf29ce484222325u;
  Counts counts_;
};

}  // namespace fleetune
