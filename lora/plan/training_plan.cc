#include "lora/plan/training_plan.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "aggregation/privacy/privacy_parameters.h"
#include "base/status_macros.h"
#include "lora/plan/cell_noise.h"
#include "lora/plan/control_variates.h"

namespace fleetune {
namespace {

enum class Edge { kOpen, kClosed };

// An interval of numbers as people write it: "(0, 1]".
struct Range {
  Edge low_edge;
  double low;
  double high;
  Edge high_edge;

  // False for NaN.
  bool Contains(double value) const {
    return (low_edge == Edge::kOpen ? value > low : value >= low) &&
           (high_edge == Edge::kOpen ? value < high : value <= high);
  }
};

std::string NumberText(double value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  return std::string(text, end);
}

absl::Status CheckRange(const char* field, double value, const Range& range) {
  if (range.Contains(value)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      std::string(field) + ": expected a number in " + (range.low_edge == Edge::kOpen ? "(" : "[") +
      NumberText(range.low) + ", " + NumberText(range.high) +
      (range.high_edge == Edge::kOpen ? ")" : "]") + ", got " + NumberText(value));
}

absl::Status CheckRange(const char* field, uint64_t value, uint64_t low, uint64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(std::string(field) + ": expected " + std::to_string(low) +
                                    " to " + std::to_string(high) + ", got " +
                                    std::to_string(value));
}

constexpr Range kAboveZeroToOne{Edge::kOpen, 0, 1, Edge::kClosed};
constexpr Range kZeroToOne{Edge::kClosed, 0, 1, Edge::kClosed};
constexpr Range kZeroToBelowOne{Edge::kClosed, 0, 1, Edge::kOpen};
constexpr Range kZeroToBelowHalf{Edge::kClosed, 0, 0.5, Edge::kOpen};
constexpr Range kAboveZeroToMillion{Edge::kOpen, 0, 1e6, Edge::kClosed};

bool IsTaskName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxTaskNameBytes && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

bool IsDataTag(std::string_view tag) {
  return tag.size() <= kMaxDataTagBytes && std::ranges::all_of(tag, [](char c) {
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
  });
}

absl::Status CheckTargets(const std::vector<Projection>& targets) {
  if (targets.empty()) return absl::InvalidArgumentError("targets: expected at least one");
  for (auto target = targets.begin(); target != targets.end(); ++target) {
    if (static_cast<size_t>(*target) >= kNumProjections) {
      return absl::InvalidArgumentError("targets: " + std::to_string(static_cast<int>(*target)) +
                                        " is no projection");
    }
    if (std::find(targets.begin(), target, *target) != target) {
      return absl::InvalidArgumentError("targets: " + std::string(ProjectionName(*target)) +
                                        " is named twice");
    }
  }
  return absl::OkStatus();
}

absl::Status Validate(const UpdateEncoding& encoding) {
  RETURN_IF_ERROR(CheckRange("clip_norm", encoding.clip_norm, kAboveZeroToMillion));
  if (encoding.lane_bits != 16 && encoding.lane_bits != 24 && encoding.lane_bits != 32) {
    return absl::InvalidArgumentError("lane_bits: expected 16, 24 or 32, got " + std::to_string(encoding.lane_bits));
  }
  RETURN_IF_ERROR(CheckRange("max_inputs", encoding.max_inputs, 1, kMaxPlanInputs));
  return CheckRange("max_weight", encoding.max_weight, kAboveZeroToMillion);
}

absl::Status Validate(const SecurePlan& secure) {
  if (secure.mode == SecureMode::kOff) return absl::OkStatus();
  RETURN_IF_ERROR(CheckRange("min_cohort", secure.min_cohort, 3, kMaxPlanInputs));
  RETURN_IF_ERROR(CheckRange("min_survivors", secure.min_survivors, 3, secure.min_cohort));
  RETURN_IF_ERROR(CheckRange("adversarial", secure.adversarial, kZeroToBelowHalf));
  return CheckRange("dropout", secure.dropout, kZeroToBelowHalf);
}

// Up to here the graph is complete in M, and a sum has at least as many inputs as were agreed upon; in sparse graphs it
// may have fewer across several views (docs/design/secagg.md), and noise counts on their number.
constexpr uint32_t kMostNoisyInMalicious = 64;

absl::Status ValidatePrivacy(const TrainingPlan& plan) {
  const auto named = [](const absl::Status& status) {
    if (status.ok()) return status;
    return absl::InvalidArgumentError("privacy: " + std::string(status.message()));
  };
  DifferentialPrivacy privacy = PrivacyOf(plan);
  if (!plan.privacy.on()) {
    if (plan.privacy.noise_multiplier != 0) return named(ValidateRanges(privacy));  // negative, or no number
    privacy.noise_multiplier = 1;  // the others must be in range all the same
    return named(ValidateRanges(privacy));
  }
  if (plan.secure.mode == SecureMode::kOff) {
    return absl::InvalidArgumentError(
        "privacy.noise_multiplier: expected 0 where secure_aggregation is off: each device adds a part of the noise, which "
        "hides it in a sum, not alone; with \"semi-honest\" or \"malicious\" it would do");
  }
  if (plan.trained != LoraMethod::kB || plan.smallest_rank > 0) {
    return absl::InvalidArgumentError(
        "privacy.noise_multiplier: expected 0, or trained = \"b\" without smallest_rank: noise is planned for B alone, and "
        "the number of devices in each group of ranks would go without any");
  }
  if (plan.encoding.max_weight != 1) {
    return absl::InvalidArgumentError("max_weight: expected 1, since with noise every device weighs the same, got " +
                                      NumberText(plan.encoding.max_weight));
  }
  if (plan.secure.mode == SecureMode::kMalicious && plan.encoding.max_inputs > kMostNoisyInMalicious) {
    return absl::InvalidArgumentError(
        "max_inputs: expected at most " + std::to_string(kMostNoisyInMalicious) +
        " devices in a cell (cell_devices) with noise under \"malicious\", got " +
        std::to_string(plan.encoding.max_inputs) + ": in larger ones how many share a sum is not proven");
  }
  if (plan.secure.min_cohort > plan.encoding.max_inputs) {
    return absl::InvalidArgumentError("min_cohort: expected at most the devices in a sum, " +
                                      std::to_string(plan.encoding.max_inputs) + ", got " +
                                      std::to_string(plan.secure.min_cohort));
  }
  const uint32_t fewest = FewestSurvivors(
      {.devices = plan.secure.min_cohort, .dropout_share = plan.secure.dropout, .dimension = 1});
  if (plan.secure.min_survivors < fewest) {
    return absl::InvalidArgumentError(
        "min_survivors: expected at least (1 - dropout) min_cohort, " + std::to_string(fewest) +
        ", since so many devices' noise is counted on, got " + std::to_string(plan.secure.min_survivors));
  }
  return named(Validate(privacy));
}

}  // namespace

Factors TrainedFactors(LoraMethod method, uint32_t from_version) {
  switch (method) {
    case LoraMethod::kB: return Factors::kB;
    case LoraMethod::kAlternating: return from_version % 2 == 0 ? Factors::kB : Factors::kA;
    case LoraMethod::kFactors: return Factors::kBoth;
  }
  return Factors::kB;
}

uint64_t MostTrained(LoraMethod method, uint64_t a_floats, uint64_t b_floats) {
  switch (method) {
    case LoraMethod::kB: return b_floats;
    case LoraMethod::kAlternating: return std::max(a_floats, b_floats);
    case LoraMethod::kFactors: return a_floats + b_floats;
  }
  return b_floats;
}

AdapterSpec::Options AdapterOptionsOf(const TrainingPlan& plan) {
  return {.rank = plan.rank,
          .alpha = plan.rank_stabilized ? RankStabilizedAlpha(plan.alpha, plan.rank) : plan.alpha,
          .targets = plan.targets};
}

absl::Status Validate(const TrainOptions& options) {
  if (options.optimizer > OptimizerKind::kAdaFactor) {
    return absl::InvalidArgumentError("optimizer: expected adamw, sgd or adafactor");
  }
  RETURN_IF_ERROR(CheckRange("learning_rate", options.learning_rate, kAboveZeroToOne));
  RETURN_IF_ERROR(CheckRange("lora_plus_ratio", options.lora_plus_ratio, {Edge::kOpen, 0, 1000, Edge::kClosed}));
  RETURN_IF_ERROR(CheckRange("weight_decay", options.weight_decay, kZeroToOne));
  RETURN_IF_ERROR(CheckRange("beta1", options.beta1, kZeroToBelowOne));
  RETURN_IF_ERROR(CheckRange("beta2", options.beta2, kZeroToBelowOne));
  RETURN_IF_ERROR(CheckRange("epsilon", options.epsilon, kAboveZeroToOne));
  RETURN_IF_ERROR(CheckRange("dpo_beta", options.dpo_beta, {Edge::kOpen, 0, 100, Edge::kClosed}));
  RETURN_IF_ERROR(CheckRange("momentum", options.momentum, kZeroToBelowOne));
  RETURN_IF_ERROR(CheckRange("clip_gradient_norm", options.clip_gradient_norm,
                             {Edge::kOpen, 0, std::numeric_limits<double>::infinity(), Edge::kOpen}));
  RETURN_IF_ERROR(CheckRange("dropout", options.dropout, kZeroToBelowOne));
  RETURN_IF_ERROR(CheckRange("proximal", options.proximal, {Edge::kClosed, 0, 1000, Edge::kClosed}));
  if (options.schedule != Schedule::kConstant && options.schedule != Schedule::kCosine) {
    return absl::InvalidArgumentError("schedule: expected constant or cosine");
  }
  RETURN_IF_ERROR(CheckRange("held_out_share", options.held_out_share, {Edge::kClosed, 0, 0.5, Edge::kClosed}));
  RETURN_IF_ERROR(CheckRange("patience", options.patience, 0, 1000));
  RETURN_IF_ERROR(CheckRange("evaluate_every", options.evaluate_every, 1, 1'000'000));
  RETURN_IF_ERROR(CheckRange("warmup_steps", options.warmup_steps, 0, 100'000));
  RETURN_IF_ERROR(CheckRange("steps", options.steps, 0, 1'000'000));
  RETURN_IF_ERROR(CheckRange("epochs", options.epochs, {Edge::kOpen, 0, 1000, Edge::kClosed}));
  RETURN_IF_ERROR(CheckRange("sequence_length", options.sequence_length, 8, 32'768));
  RETURN_IF_ERROR(CheckRange("ranks", options.ranks, 0, kMaxAdapterRank));
  if (options.factors > Factors::kBoth) return absl::InvalidArgumentError("factors: expected B, A or both");
  RETURN_IF_ERROR(CheckRange("micro_batch", options.micro_batch, 1, 256));
  return CheckRange("accumulate", options.accumulate, 1, 1024);
}

absl::Status Validate(const TrainingPlan& plan) {
  if (!IsTaskName(plan.task)) {
    return absl::InvalidArgumentError(
        "task: expected 1 to " + std::to_string(kMaxTaskNameBytes) +
        " lower-case letters, digits and hyphens, got \"" + plan.task + "\"");
  }
  RETURN_IF_ERROR(CheckTargets(plan.targets));
  RETURN_IF_ERROR(CheckRange("rank", plan.rank, 1, kMaxAdapterRank));
  RETURN_IF_ERROR(
      CheckRange("alpha", AdapterOptionsOf(plan).alpha, {Edge::kOpen, 0, std::numeric_limits<double>::infinity(), Edge::kOpen}));
  if (plan.trained > LoraMethod::kFactors) {
    return absl::InvalidArgumentError("trained: expected b, alternating or factors");
  }
  RETURN_IF_ERROR(CheckRange("smallest_rank", plan.smallest_rank, 0, plan.rank));
  if (plan.smallest_rank > 0 && plan.trained != LoraMethod::kB) {
    return absl::InvalidArgumentError("smallest_rank: devices may leave out ranks only where trained = \"b\"");
  }
  if (!IsDataTag(plan.data_tag)) {
    return absl::InvalidArgumentError("data_tag: expected at most " +
                                      std::to_string(kMaxDataTagBytes) +
                                      " printable ASCII characters, no quotes or backslashes");
  }
  RETURN_IF_ERROR(CheckRange("min_examples", plan.min_examples, 1, kMaxMinExamples));
  RETURN_IF_ERROR(Validate(plan.train));
  RETURN_IF_ERROR(Validate(plan.encoding));
  RETURN_IF_ERROR(Validate(plan.secure));
  RETURN_IF_ERROR(CheckControlVariates(plan));
  return ValidatePrivacy(plan);
}

}  // namespace fleetune
