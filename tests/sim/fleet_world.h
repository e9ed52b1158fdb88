#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "coordinator/core/round_event.h"
#include "tests/sim/simulator.h"
#include "tests/support/small_fleet.h"

namespace fleetune {

// How often things go wrong: probabilities for each call, step or write.
struct WorldFaults {
  double request_lost = 0.08;
  double answer_lost = 0.08;
  double duplicated = 0.15;   // the same request arrives again, up to a minute later
  double device_dies = 0.04;  // forgets everything but who it is
  double device_declines = 0.05;
  double write_fails = 0.05;      // half of them after all was written
  double coordinator_dies = 0.4;  // of the writes that fail
};

// A coordinator's core and devices that run its rounds over a bad network; both die now and then. Keeps books of
// what every device was told, from which a test knows what must be true.
class FleetWorld {
 public:
  FleetWorld(uint64_t seed, WorldFaults faults);
  // Over another store; `reopen` is called when the coordinator dies and gives the store as it then is.
  FleetWorld(uint64_t seed, WorldFaults faults, std::function<FleetStore&()> reopen);

  // Starts a round and runs until it has ended; its id.
  std::string RunRound();

  SmallFleet small;
  Simulator simulator;

  // By round: devices that were told that their update is counted.
  std::map<std::string, std::set<std::string>> acknowledged;
  // By round: the sum of the updates that the coordinator counted, added here once each.
  std::map<std::string, RingVector> expected_sum;
  std::map<std::string, uint32_t> counted;

 private:
  // A device. What it holds is lost when it dies.
  struct Device {
    std::string id;
    std::string round;  // it trains for; empty: idle
    Bytes update;       // trained; empty: not yet
    enum class Next { kCheckIn, kTrain, kOpen, kPut, kCommit } next = Next::kCheckIn;
  };

  FleetWorld(uint64_t seed, WorldFaults faults, std::function<FleetStore&()> reopen, bool other_store);
  void Step(size_t index);
  void CheckIn(Device& device);
  void Train(Device& device);
  void Open(Device& device);
  void Put(Device& device);
  void Commit(Device& device);
  void Decline(Device& device);
  void Tick();

  // A call over the network: what the device gets to hear. May come again later.
  absl::Status Call(const std::function<absl::Status()>& call);
  absl::Status Arrive(const std::function<absl::Status()>& call);
  void CountIfNew(const std::string& round, const std::string& device, const Bytes& update);
  absl::Status CommitAtCoordinator(const std::string& device, const std::string& round, const Bytes& update);

  WorldFaults faults_;
  std::function<FleetStore&()> reopen_;
  bool coordinator_dies_ = false;
  std::vector<Device> devices_;
  std::set<std::pair<std::string, std::string>> counted_devices_;  // round, device
};

}  // namespace fleetune
