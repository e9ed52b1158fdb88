#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "aggregation/encode/ring.h"
#include "aggregation/optimizer/server_optimizer.h"
#include "base/digest.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// How a round's devices are gathered into cells, each a session of secure aggregation.
struct CellOptions {
  uint32_t largest = 256;                 // devices in a cell, plan.secure.min_cohort .. kMaxSummedInputs
  std::chrono::seconds seat_time{60};     // how long a cell waits for more devices; each 1 s .. 1 day
  std::chrono::seconds share_time{60};    // for their sealed shares
  std::chrono::seconds input_time{600};   // for their masked updates
  std::chrono::seconds view_time{60};     // for their signatures under who survived
  std::chrono::seconds unmask_time{120};  // for the shares that open the sum
};

// A task: what is trained, on which devices, and how rounds run. Written by an operator as TOML; there is no
// proto with the same fields.
struct TaskSpec {
  TrainingPlan plan;       // what devices are told; its `task` is the name of the task
  std::string model_name;  // of the base model, as `model add` named it

  std::string device_tag;                                          // only devices with this tag; empty: all
  uint32_t invited_devices = 8;                                    // at a time in a round, 1 .. kMaxSummedInputs
  uint32_t needed_updates = 4;                                     // fewest that make a version, 1 .. invited_devices
  std::chrono::seconds round_deadline = std::chrono::minutes(30);  // 10 s .. 7 days
  // How long a round that has its needed updates waits for the others: 0 .. 7 days, and never beyond the deadline.
  std::chrono::seconds round_linger = std::chrono::hours(7 * 24);
  std::chrono::seconds poll_interval = std::chrono::seconds(30);   // between check-ins of idle devices, 1 s .. 1 day
  bool auto_release = true;                                        // a new version is what devices answer with at once
  ServerOptimizerOptions server;
  // Versions whose number is a multiple are refactored (lora/adapter/refactoring.h); 0: none. At most 1,000,000.
  uint32_t refactor_every = 0;

  CellOptions cells;  // of secure aggregation; what devices are promised of it is plan.secure

  bool secure() const { return plan.secure.mode != SecureMode::kOff; }
  // Fewest updates that come into a round's sum at once.
  uint32_t fewest_together() const { return secure() ? plan.secure.min_cohort : 1; }
  // Most updates in one sum of masked inputs; of 32-bit lanes, in which the sums of cells are added, in a round's.
  uint32_t most_together() const;
};

// InvalidArgument naming the first field out of range, with its range.
absl::Status Validate(const TaskSpec& spec);

// Of tags that operators give devices: [a-z0-9-]{1,64}.
bool IsDeviceTag(std::string_view tag);

inline constexpr size_t kMaxTaskTomlBytes = 64 * 1024;

// The keys, all but the first two with a default (the field's of the same name, unless said):
//
//   name, base (a model's name), secure_aggregation ("semi-honest", "malicious" or "off"), data_tag, device_tag,
//   auto_release
//   [adapter]   targets (["q", "v"]), rank, alpha, rank_stabilized, seed (an integer, or text such as "0x2a"), trained
//               ("b", "alternating" or "factors"), smallest_rank
//   [training]  the fields of TrainOptions; schedule is "constant" or "cosine", optimizer "adamw", "sgd" or
//               "adafactor"
//   [update]    clip_norm, lane_bits, max_weight (UpdateEncoding), min_examples
//   [secure]    min_cohort, min_survivors, adversarial, dropout (SecurePlan), cell_devices, seat_seconds,
//               share_seconds, input_seconds, view_seconds, unmask_seconds (CellOptions)
//   [privacy]   noise_multiplier (0: no differential privacy), delta, device_epsilon_limit, rounding_overhead
//               (PrivacyPlan)
//   [round]     invited, needed, deadline_seconds, linger_seconds, poll_seconds
//   [server]    optimizer ("fedavg" or "fedadam"), learning_rate, momentum, beta1, beta2, tau, refactor_every
//
// Parses the operator's TOML. `find_model` gives the SHA-256 of the base model with a name, or NotFound.
// InvalidArgument naming key and line: an unknown key (adapter.dora with the reason), a wrong type, out of range, a missing `name`
// or `base`.
absl::StatusOr<TaskSpec> ParseTaskSpec(std::string_view toml,
                                       absl::FunctionRef<absl::StatusOr<Digest>(std::string_view)> find_model);

// Every key with its value; ParseTaskSpec gives the same spec back.
std::string FormatTaskSpec(const TaskSpec& spec);

}  // namespace fleetune
