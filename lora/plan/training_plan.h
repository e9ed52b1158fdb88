#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/digest.h"
#include "lora/adapter/adapter_spec.h"
#include "lora/adapter/factors.h"

namespace fleetune {

enum class Schedule : uint8_t { kConstant, kCosine };

// How gradients become steps: lora/train/optimizer.h.
enum class OptimizerKind : uint8_t { kAdamW, kSgd, kAdaFactor };

// How an adapter is trained on one machine.
struct TrainOptions {
  OptimizerKind optimizer = OptimizerKind::kAdamW;
  double learning_rate = 1e-3;       // its peak, (0, 1]
  double lora_plus_ratio = 1.0;      // B's rate is so many times A's (LoRA+, Hayou et al. 2024), (0, 1000]
  double weight_decay = 0.0;         // on LoRA parameters only, [0, 1]
  double beta1 = 0.9;                // of AdamW, [0, 1)
  double beta2 = 0.999;              // of AdamW, [0, 1)
  double epsilon = 1e-8;             // of AdamW, (0, 1]
  double momentum = 0.9;             // of SGD, [0, 1)
  double dpo_beta = 0.1;             // of preferences: how much a margin counts (DPO), (0, 100]
  double clip_gradient_norm = 1.0;   // L2 over all trained parameters, > 0
  double dropout = 0.0;              // on the input of A, [0, 1)
  double proximal = 0.0;             // FedProx: mu of mu / 2 |w - start|^2 beside the loss, [0, 1000]
  bool control_variates = false;     // SCAFFOLD: lora/plan/control_variates.h
  Schedule schedule = Schedule::kConstant;
  uint32_t warmup_steps = 0;         // linear, at most 100,000
  uint32_t steps = 0;                // optimizer steps; 0: as many as `epochs` take. At most 1,000,000
  double epochs = 1.0;               // passes over the data, used when steps == 0; (0, 1000]
  uint32_t sequence_length = 256;    // tokens a packed sequence, 8 .. 32,768
  uint32_t micro_batch = 1;          // sequences a forward pass, 1 .. 256
  uint32_t accumulate = 1;           // micro-batches an optimizer step, 1 .. 1024
  Factors factors = Factors::kB;     // what is trained. No key of a plan, where TrainedFactors says it
  uint32_t ranks = 0;                // of them: the first so many, 0: all. No key of a plan, either
  // Examples that are only measured, at the start and at the end; lora/examples/held_out.h draws them.
  double held_out_share = 0.0;       // of the records, [0, 0.5]
  uint32_t patience = 0;             // ends after so many measurements without a better one, with the best; 0: never.
                                     // At most 1000. Without held-out examples it does nothing
  uint32_t evaluate_every = 50;      // steps between measurements, if there is patience, 1 .. 1,000,000
  uint64_t seed = 1;                 // order of examples and dropout

  friend bool operator==(const TrainOptions&, const TrainOptions&) = default;
};

// InvalidArgument naming the first field out of range, with its range.
absl::Status Validate(const TrainOptions& options);

// How a delta becomes ring elements: lora/plan/update_options.h.
struct UpdateEncoding {
  double clip_norm = 1.0;     // L2 of the delta, (0, 1e6]
  uint32_t lane_bits = 16;    // of an element on the wire: 16, 24 or 32
  double max_weight = 1.0;    // w is in [0, max_weight]: max_weight examples count as 1, (0, 1e6]
  uint32_t max_inputs = 8;    // most devices in a sum, 1 .. kMaxPlanInputs

  friend bool operator==(const UpdateEncoding&, const UpdateEncoding&) = default;
};

inline constexpr uint32_t kMaxPlanInputs = 4096;

// Whether the coordinator sees single updates. H and M: shared profiles of docs/design/secagg.md.
enum class SecureMode : uint8_t {
  kOff,         // it sees each
  kSemiHonest,  // H: sums only, as long as it follows the protocol
  kMalicious,   // M: sums only, also if it lies
};

// What a device may count on when it takes a seat in a cell; its own policy may ask for more.
struct SecurePlan {
  SecureMode mode = SecureMode::kSemiHonest;
  uint32_t min_cohort = 3;         // fewest devices in a cell, 3 .. kMaxPlanInputs
  uint32_t min_survivors = 3;      // fewest updates in a sum, 3 .. min_cohort
  double adversarial = 0.1;        // share of devices that may help the coordinator, [0, 0.5)
  double dropout = 0.1;            // share of devices that may vanish, [0, 0.5)

  friend bool operator==(const SecurePlan&, const SecurePlan&) = default;
};

// What a fleet trains, version by version, so that a sum of updates means something: docs/design/lora_variants.md.
enum class LoraMethod : uint8_t {
  kB,            // B; all share an A
  kAlternating,  // B against even versions, A against odd ones (RoLoRA)
  kFactors,      // both at once, averaged separately (FedIT): NOT the average of what devices learned
};

// What a device trains against `from_version`.
Factors TrainedFactors(LoraMethod method, uint32_t from_version);

// Most floats that are trained against any version, of an adapter with so many in A and in B.
uint64_t MostTrained(LoraMethod method, uint64_t a_floats, uint64_t b_floats);

// Distributed differential privacy of the sums, in the terms of aggregation/privacy/privacy_parameters.h, where the
// ranges stand; the clip norm is the encoding's. lora/plan/cell_noise.h has what follows from it.
struct PrivacyPlan {
  double noise_multiplier = 0;        // 0: no noise, no differential privacy, and the rest says nothing
  double delta = 1e-6;                // of every epsilon
  double device_epsilon_limit = 8.0;  // what one device spends on this task
  double rounding_overhead = 0.01;    // by which integers may raise a cell's epsilon, or its noise

  bool on() const { return noise_multiplier > 0; }
  friend bool operator==(const PrivacyPlan&, const PrivacyPlan&) = default;
};

inline constexpr size_t kMaxTaskNameBytes = 48;  // ids of its rounds and cells, in 64, begin with it
inline constexpr size_t kMaxDataTagBytes = 64;
inline constexpr uint64_t kMaxMinExamples = 1'000'000'000;

// All that a device is asked to do in a task, and nothing that only the coordinator needs. Sent as
// the TOML text below, signed by the release key (SignPurpose::kTrainingPlan), so that the device
// keeps in its audit log exactly what it was asked.
struct TrainingPlan {
  std::string task;                 // name of the task, [a-z0-9-]{1,kMaxTaskNameBytes}
  Digest base{};                      // SHA-256 of the base model's GGUF file
  std::vector<Projection> targets;
  uint32_t rank = 8;
  float alpha = 16;
  bool rank_stabilized = false;     // rsLoRA: the scale is alpha / sqrt(rank), not alpha / rank
  uint64_t seed = 1;                // of A (DeriveA)
  LoraMethod trained = LoraMethod::kB;
  uint32_t smallest_rank = 0;       // devices may train so many of the ranks of B, or twice, four times ... as many;
                                    // 0: all train all. At most `rank`; of LoraMethod::kB alone
  std::string data_tag;             // which private examples; empty: all. Printable ASCII but " and \, at most
                                    // kMaxDataTagBytes
  uint64_t min_examples = 1;        // a device with fewer does not take part, 1 .. kMaxMinExamples
  TrainOptions train;
  UpdateEncoding encoding;
  SecurePlan secure;
  PrivacyPlan privacy;

  friend bool operator==(const TrainingPlan&, const TrainingPlan&) = default;
};

// InvalidArgument naming the first field out of range, with its range. With differential privacy also if it cannot be
// had: without secure aggregation, with weights, with fewer survivors than the noise is counted on, or with a cell that
// costs more than the limit; the message says what would do.
absl::Status Validate(const TrainingPlan& plan);

// What the plan says about its adapter. All who make the adapter of a plan make it of these.
AdapterSpec::Options AdapterOptionsOf(const TrainingPlan& plan);

inline constexpr size_t kMaxPlanBytes = 16 * 1024;

// Canonical TOML: the same plan gives the same bytes. Floats are written so that they parse back to the same
// bits; seeds, which may need 64 bits without a sign, as strings ("0x2a"). Requires a valid plan; checked.
std::string FormatTrainingPlan(const TrainingPlan& plan);

// The inverse; every key must be there, since a default that changed between two versions of the program would
// change what was signed. InvalidArgument naming key and line for an unknown key, a wrong type, a value that
// does not fit; naming the key if it is missing or out of range; ResourceExhausted over kMaxPlanBytes.
absl::StatusOr<TrainingPlan> ParseTrainingPlan(std::string_view toml);

}  // namespace fleetune
