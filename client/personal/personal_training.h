#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/digest.h"
#include "client/core/personal_settings.h"
#include "client/personal/personal_adapter.h"
#include "client/trainer/trainer_process.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

// What a personal adapter is trained from.
struct PersonalInputs {
  PersonalSettings settings;
  std::string task;
  Digest base;                                 // of the model at model_path
  std::string model_path;
  uint32_t context = 0;                        // the model's, in tokens
  uint32_t version = 0;                        // of the task's adapter
  Adapter below;                               // that adapter
  std::optional<PersonalAdapter> present = {}; // what is there already: a new one must be better
  std::vector<std::string> records = {};       // JSON lines
  Bytes held_out_secret = {};                  // ExampleStore::HeldOutSecret
  uint64_t seed = 1;                           // of the new adapter's A and the order of examples
  uint32_t threads = 0;
  uint64_t memory_bytes = 0;                   // of the trainer's own; 0: no limit
  TimePoint now;
};

// The order to train `above` on top of inputs.below, which stays as it is: both joined, of which the first ranks are
// trained. InvalidArgument if they cannot be joined. Pure.
absl::StatusOr<TrainingJob> PersonalJob(const PersonalInputs& inputs, const Adapter& above);

struct PersonalOutcome {
  PersonalAdapter adapter;
  std::optional<double> loss_with_present;  // of PersonalInputs::present, over the same held-out examples
  uint32_t steps = 0;
  bool better = false;  // than the task's adapter alone, and than what is there already
};

// What a finished training comes to. FailedPrecondition if no example was held out, since nothing tells then whether it
// is of use; Internal if the trainer's values do not fit. Pure.
absl::StatusOr<PersonalOutcome> JudgePersonal(const PersonalInputs& inputs, const Adapter& above,
                                              const TrainingDone& done, std::optional<double> loss_with_present);

// How the owner takes part.
struct PersonalWatch {
  std::function<bool(int fd)> stop;  // waits until `fd` can be read or for a moment; true: give up
  std::function<void(const TrainingProgress&)> progress;
};

// Trains anew, from an adapter that changes nothing, in a process of its own (trainer_process.h); before, with a second
// process, what is there already is measured. Cancelled if `watch` says so; FailedPrecondition without records; errors
// of TrainerProcess, of the trainer and of the above.
absl::StatusOr<PersonalOutcome> TrainPersonal(const PersonalInputs& inputs, const TrainerProcess::Options& trainer,
                                              const PersonalWatch& watch);

}  // namespace fleetune
