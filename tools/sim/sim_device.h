#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/random.h"
#include "lora/plan/control_variates.h"
#include "lora/plan/round_update.h"
#include "lora/plan/training_plan.h"
#include "tools/sim/local_trainer.h"
#include "tools/sim/masked_upload.h"
#include "tools/sim/sim_coordinator.h"
#include "tools/sim/sim_task.h"

namespace fleetune {

// A device of the fleet, over the coordinator's calls: checks in, brings its version up to date, trains, encodes and
// sends, by the libraries that real devices run for each of these. Keeps its control variates, if the task has some.
// Not thread-safe.
class SimDevice {
 public:
  struct Parts {  // all borrowed but the numbers
    SimCoordinator* coordinator = nullptr;
    LocalTrainer* trainer = nullptr;
    const SimTask* task = nullptr;
    const DeviceExamples* examples = nullptr;
    double tokens_per_second = 1000;  // of its training, in simulated time
    uint64_t seed = 1;                // of how it rounds, and of its masks
  };
  static absl::StatusOr<std::unique_ptr<SimDevice>> Enroll(const Parts& parts);

  // Does the next thing at the time of the coordinator's clock, and says how long to wait before the one after.
  // An error is the simulation's: nothing that a healthy fleet does is one.
  absl::StatusOr<std::chrono::milliseconds> Act();

  // Since it was enrolled.
  struct Totals {
    uint64_t tokens = 0;      // read in trainings
    uint64_t bytes_down = 0;  // versions and control variates
  };
  const Totals& totals() const { return totals_; }

 private:
  // An update that is ready, and what becomes of it if it is counted.
  struct Ready {
    std::string round;
    RoundUpdate update;
    std::optional<MaskedUpload> masked;
  };

  SimDevice(const Parts& parts, SigningKey key) : parts_(parts), key_(std::move(key)), random_(parts.seed) {}

  absl::StatusOr<std::chrono::milliseconds> CheckIn();
  absl::StatusOr<std::chrono::milliseconds> Train(const RoundInvitation& invitation, const OfferedTask& offer);
  absl::StatusOr<std::chrono::milliseconds> Send();
  absl::Status BringTo(uint32_t version, const Digest& hash, const TrainingPlan& plan);
  absl::StatusOr<Bytes> Fetch(const UpdatePieceRef& piece);
  absl::StatusOr<std::vector<float>> FetchControl(const std::string& round, uint64_t values);
  absl::StatusOr<RoundUpdate> Encode(const LocallyTrained& trained, const RoundInvitation& invitation,
                                     const TrainingPlan& plan);
  void Counted();

  const Parts parts_;
  const SigningKey key_;
  SplitMix64 random_;
  std::string id_;
  Bytes certificate_;  // DER
  uint32_t version_ = 0;
  Digest hash_;
  std::shared_ptr<const Adapter> adapter_;  // null: it holds none yet
  OwnControl control_;
  std::optional<Ready> ready_;
  std::chrono::milliseconds next_check_in_{};
  Totals totals_;
};

}  // namespace fleetune
