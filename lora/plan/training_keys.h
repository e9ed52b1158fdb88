#pragma once

// The keys of what a plan says about adapter, training and encoding, once for all who read or write them as TOML: the
// plan itself (training_plan_toml.cc) and the operator's task (coordinator/core/task_keys.h). Each function calls
// `visit(key, field)` in the order in which the keys are written; the struct may be const.

#include <array>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include "lora/plan/training_plan.h"

namespace fleetune::training_keys {

// A value that is one of a few words.
template <typename T, size_t N>
struct Choice {
  T& value;
  const std::array<std::pair<std::remove_const_t<T>, std::string_view>, N>& words;
};
template <typename T, typename Word, size_t N>
Choice(T&, const std::array<Word, N>&) -> Choice<T, N>;

inline constexpr std::array<std::pair<Schedule, std::string_view>, 2> kScheduleWords = {
    {{Schedule::kConstant, "constant"}, {Schedule::kCosine, "cosine"}}};

inline constexpr std::array<std::pair<OptimizerKind, std::string_view>, 3> kOptimizerWords = {
    {{OptimizerKind::kAdamW, "adamw"}, {OptimizerKind::kSgd, "sgd"}, {OptimizerKind::kAdaFactor, "adafactor"}}};

inline constexpr std::array<std::pair<LoraMethod, std::string_view>, 3> kMethodWords = {
    {{LoraMethod::kB, "b"}, {LoraMethod::kAlternating, "alternating"}, {LoraMethod::kFactors, "factors"}}};

// A seed needs 64 bits without a sign; TOML's integers have 63, so it can be written as text, "0x...".
template <typename T>
struct Seed {
  T& value;
};
template <typename T>
Seed(T&) -> Seed<T>;

template <typename Visitor>
void VisitAdapter(Visitor& visit, auto& plan) {
  visit("targets", plan.targets);
  visit("rank", plan.rank);
  visit("alpha", plan.alpha);
  visit("rank_stabilized", plan.rank_stabilized);
  visit("seed", Seed{plan.seed});
  visit("trained", Choice{plan.trained, kMethodWords});
  visit("smallest_rank", plan.smallest_rank);
}

template <typename Visitor>
void VisitTraining(Visitor& visit, auto& train) {
  visit("optimizer", Choice{train.optimizer, kOptimizerWords});
  visit("learning_rate", train.learning_rate);
  visit("lora_plus_ratio", train.lora_plus_ratio);
  visit("weight_decay", train.weight_decay);
  visit("beta1", train.beta1);
  visit("beta2", train.beta2);
  visit("epsilon", train.epsilon);
  visit("momentum", train.momentum);
  visit("dpo_beta", train.dpo_beta);
  visit("clip_gradient_norm", train.clip_gradient_norm);
  visit("dropout", train.dropout);
  visit("proximal", train.proximal);
  visit("control_variates", train.control_variates);
  visit("schedule", Choice{train.schedule, kScheduleWords});
  visit("warmup_steps", train.warmup_steps);
  visit("steps", train.steps);
  visit("epochs", train.epochs);
  visit("sequence_length", train.sequence_length);
  visit("micro_batch", train.micro_batch);
  visit("accumulate", train.accumulate);
  visit("held_out_share", train.held_out_share);
  visit("patience", train.patience);
  visit("evaluate_every", train.evaluate_every);
  visit("seed", Seed{train.seed});
}

template <typename Visitor>
void VisitEncoding(Visitor& visit, auto& encoding) {
  visit("clip_norm", encoding.clip_norm);
  visit("lane_bits", encoding.lane_bits);
  visit("max_weight", encoding.max_weight);
}

inline constexpr std::array<std::pair<SecureMode, std::string_view>, 3> kSecureWords = {
    {{SecureMode::kOff, "off"}, {SecureMode::kSemiHonest, "semi-honest"}, {SecureMode::kMalicious, "malicious"}}};

// All but the mode.
template <typename Visitor>
void VisitSecure(Visitor& visit, auto& secure) {
  visit("min_cohort", secure.min_cohort);
  visit("min_survivors", secure.min_survivors);
  visit("adversarial", secure.adversarial);
  visit("dropout", secure.dropout);
}

template <typename Visitor>
void VisitPrivacy(Visitor& visit, auto& privacy) {
  visit("noise_multiplier", privacy.noise_multiplier);
  visit("delta", privacy.delta);
  visit("device_epsilon_limit", privacy.device_epsilon_limit);
  visit("rounding_overhead", privacy.rounding_overhead);
}

}  // namespace fleetune::training_keys
