#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "aggregation/encode/encoding_options.h"
#include "aggregation/secagg/client_session.h"
#include "coordinator/core/fleet.h"
#include "tests/sim/cell_books.h"
#include "tests/sim/cell_shape.h"
#include "tests/sim/lies.h"
#include "tests/sim/planted.h"
#include "tests/sim/simulator.h"

namespace fleetune {

// What an answer does where it arrives; `late`: the device has given up that call.
using Heard = std::function<void(bool late)>;
// A call as the coordinator carries it out. The answer may be lost, or come late, or come twice.
using Request = std::function<Heard(Fleet&)>;

// The way from a device to the coordinator and back.
class SimNetwork {
 public:
  virtual ~SimNetwork() = default;
  virtual void Send(size_t device, Request request) = 0;
  virtual void CutOff(size_t device, std::chrono::milliseconds time) = 0;
};

// What devices share. Borrows all.
struct SimSurroundings {
  const CellShape& shape;
  Simulator& simulator;
  CellBooks& books;
  SimNetwork& network;
  std::function<EncodingOptions(const std::string& round)> encoding;
  Planted planted = Planted::kNothing;
};

// Who a certificate speaks for, in this world: a key, and a name behind it.
absl::StatusOr<secagg::VerifiedPeer> VerifySimCertificate(std::span<const uint8_t> certificate);

// A device that takes part in rounds: checks in, takes a seat, goes through the session, uploads, asks how it ended. It
// keeps what it must before it sends, dies now and then, and comes back with what it kept, or not at all.
class SimDevice {
 public:
  SimDevice(SimSurroundings& around, size_t number, std::string id, SigningKey key);
  SimDevice(const SimDevice&) = delete;
  SimDevice& operator=(const SimDevice&) = delete;

  void Begin();  // once
  const std::string& id() const { return id_; }
  uint32_t deaths() const { return deaths_; }

 private:
  // What it has on its disk, but for its key.
  struct Kept {
    std::string round;  // it takes part in; empty: none
    RingVector input;
    std::string cell;  // it sits in; empty: none
    bool given_up = false;
    Bytes session;
    Bytes outgoing;               // to send; empty: nothing
    std::optional<Bytes> masked;  // to upload
  };

  secagg::ClientIdentity Identity() const;
  secagg::VerifiedPeer Peer() const { return {.device = id_, .identity = verify_key_}; }

  void Act();
  void Later(std::chrono::milliseconds most);
  void Call(const Request& request);
  void CheckIn();
  void Decline();
  void TakeSeat();
  void OpenUpload();
  void PutUpload();
  void CommitUpload();
  void Exchange();
  void Hear(const CellAnswer& answer, const Bytes& said, bool late);
  void Take(const Bytes& message);
  absl::StatusOr<Bytes> Answer(const Bytes& message);
  absl::StatusOr<Bytes> MaskInput(const Bytes& shares);
  void LeaveSeat();
  void LeaveRound();

  void Keep();
  void Die();
  void Restart();
  void HearLies();

  SimSurroundings& around_;
  Simulator& simulator_;
  const CellFaults& faults_;
  size_t number_;
  std::string id_;
  SigningKey key_;
  VerifyKey verify_key_;  // of key_, which takes long to make it
  SplitMix64 random_;

  // In memory.
  bool up_ = true;
  bool gone_ = false;
  uint64_t calls_ = 0;
  uint64_t waiting_for_ = 0;  // the call whose answer it waits for; 0: none
  uint64_t life_ = 0;
  std::optional<secagg::ClientSession> session_;
  Kept now_;
  enum class Upload : uint8_t { kOpen, kPut, kCommit, kDone } upload_ = Upload::kOpen;

  // On the disk.
  Kept kept_;
  Kept kept_masked_;  // as it was when it had just masked its input

  // What somebody in the middle has seen.
  SeenMessages seen_;
  uint32_t deaths_ = 0;
};

}  // namespace fleetune
