#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/core/fleet.h"
#include "lora/plan/training_plan.h"
#include "tests/sim/cell_books.h"
#include "tests/sim/cell_shape.h"
#include "tests/sim/planted.h"
#include "tests/sim/sim_device.h"
#include "tests/sim/simulator.h"
#include "tests/support/faulty_fleet_store.h"
#include "tests/support/memory_fleet_store.h"
#include "tests/support/small_fleet.h"

namespace fleetune {

// A coordinator and devices that run rounds of a task with secure aggregation over a bad network; all of them die now
// and then. One shape, with its seed, gives one run, whatever the machine. What must be true of it is in CellBooks.
// Single-threaded.
class CellWorld final : public SimNetwork {
 public:
  explicit CellWorld(const CellShape& shape, Planted planted = Planted::kNothing);
  ~CellWorld() override;

  // All its rounds, and a while after them.
  void Run();

  // What was not as it must be.
  const std::vector<std::string>& violations() const { return books_.violations(); }
  uint64_t messages_hash() const { return books_.hash(); }

  struct Counts {
    uint32_t done = 0;  // rounds
    uint32_t aborted = 0;
    uint32_t coordinator_deaths = 0;
    uint32_t device_deaths = 0;
    uint32_t failed_writes = 0;
    uint64_t messages = 0;  // calls that arrived
  };
  Counts counts() const;
  const CellBooks::Counts& cells() const { return books_.counts(); }

  void Send(size_t device, Request request) override;
  void CutOff(size_t device, std::chrono::milliseconds time) override;

 private:
  void AddDevices();
  void Open();
  void Tick();
  std::string StartRound();
  void RunRound();

  WriteFault FaultOfWrite();
  absl::Status AfterWrite(const absl::Status& answer);
  void Die();  // of the coordinator

  bool Through(size_t device) const;
  std::chrono::milliseconds Delay();
  void Arrive(size_t device, const Request& request);

  CellShape shape_;
  Planted planted_;
  ManualClock clock_;
  Simulator simulator_;
  SplitMix64 random_;  // of the coordinator
  SigningKey release_key_;
  MemoryFleetStore memory_;
  FaultyFleetStore store_{memory_};
  CellBooks books_;
  std::unique_ptr<Fleet> fleet_;  // null while it is down
  bool dies_ = false;             // at the end of the present call
  TrainingPlan plan_;
  SimSurroundings around_;
  std::vector<std::unique_ptr<SimDevice>> devices_;
  std::vector<TimePoint> cut_off_until_;
  std::map<std::string, RingVector> sums_before_;  // of cells
  Counts counts_;
};

}  // namespace fleetune
