#pragma once

// The keys of a task's TOML, once for reading and writing. Of this folder only.

#include <array>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include "coordinator/core/task_spec.h"

namespace fleetune::task_keys {

// A value that is one of a few words.
template <typename T, size_t N>
struct Choice {
  T& value;
  const std::array<std::pair<std::remove_const_t<T>, std::string_view>, N>& words;
};
template <typename T, typename Words, size_t N>
Choice(T&, const std::array<Words, N>&) -> Choice<T, N>;

inline constexpr std::array<std::pair<Schedule, std::string_view>, 2> kScheduleWords = {
    {{Schedule::kConstant, "constant"}, {Schedule::kCosine, "cosine"}}};
inline constexpr std::array<std::pair<ServerOptimizerKind, std::string_view>, 2> kOptimizerWords = {
    {{ServerOptimizerKind::kFedAvg, "fedavg"}, {ServerOptimizerKind::kFedAdam, "fedadam"}}};
inline constexpr std::array<std::pair<bool, std::string_view>, 2> kOffOnWords = {{{false, "off"}, {true, "on"}}};

// TOML's integers have 63 bits: a seed above is written as text, "0x...".
template <typename T>
struct SeedKey {
  T& value;
};
template <typename T>
SeedKey(T&) -> SeedKey<T>;

// The keys, once for both directions, in the order in which they are written.
template <typename Visitor>
void VisitTop(Visitor& visit, auto& spec) {
  visit("name", spec.plan.task);
  visit("base", spec.model_name);
  visit("secure_aggregation", Choice{spec.secure_aggregation, kOffOnWords});
  visit("data_tag", spec.plan.data_tag);
  visit("device_tag", spec.device_tag);
  visit("auto_release", spec.auto_release);
}

template <typename Visitor>
void VisitAdapter(Visitor& visit, auto& plan) {
  visit("targets", plan.targets);
  visit("rank", plan.rank);
  visit("alpha", plan.alpha);
  visit("seed", SeedKey{plan.seed});
}

template <typename Visitor>
void VisitTraining(Visitor& visit, auto& train) {
  visit("learning_rate", train.learning_rate);
  visit("weight_decay", train.weight_decay);
  visit("beta1", train.beta1);
  visit("beta2", train.beta2);
  visit("epsilon", train.epsilon);
  visit("clip_gradient_norm", train.clip_gradient_norm);
  visit("dropout", train.dropout);
  visit("schedule", Choice{train.schedule, kScheduleWords});
  visit("warmup_steps", train.warmup_steps);
  visit("steps", train.steps);
  visit("epochs", train.epochs);
  visit("sequence_length", train.sequence_length);
  visit("micro_batch", train.micro_batch);
  visit("accumulate", train.accumulate);
  visit("train_a", train.train_a);
  visit("seed", SeedKey{train.seed});
}

template <typename Visitor>
void VisitUpdate(Visitor& visit, auto& plan) {
  visit("clip_norm", plan.encoding.clip_norm);
  visit("fraction_bits", plan.encoding.fraction_bits);
  visit("max_weight", plan.encoding.max_weight);
  visit("min_examples", plan.min_examples);
}

template <typename Visitor>
void VisitRound(Visitor& visit, auto& spec) {
  visit("invited", spec.invited_devices);
  visit("needed", spec.needed_updates);
  visit("deadline_seconds", spec.round_deadline);
  visit("poll_seconds", spec.poll_interval);
}

template <typename Visitor>
void VisitServer(Visitor& visit, auto& server) {
  visit("optimizer", Choice{server.kind, kOptimizerWords});
  visit("learning_rate", server.learning_rate);
  visit("momentum", server.momentum);
  visit("beta1", server.beta1);
  visit("beta2", server.beta2);
  visit("tau", server.tau);
}

// All of them: `section` gives the visitor for a table's keys.
template <typename Section>
void VisitAll(Section&& section, auto& spec) {
  VisitTop(section(""), spec);
  VisitAdapter(section("adapter"), spec.plan);
  VisitTraining(section("training"), spec.plan.train);
  VisitUpdate(section("update"), spec.plan);
  VisitRound(section("round"), spec);
  VisitServer(section("server"), spec.server);
}
inline constexpr std::array<const char*, 6> kSections = {"", "adapter", "training", "update", "round", "server"};

}  // namespace fleetune::task_keys
