#pragma once

// The keys of a task's TOML, once for reading and writing; those that a plan has, too, are the plan's. Of this folder
// only.

#include <array>
#include <string_view>
#include <utility>

#include "coordinator/core/task_spec.h"
#include "lora/plan/training_keys.h"

namespace fleetune::task_keys {

using training_keys::Choice;

inline constexpr std::array<std::pair<ServerOptimizerKind, std::string_view>, 2> kOptimizerWords = {
    {{ServerOptimizerKind::kFedAvg, "fedavg"}, {ServerOptimizerKind::kFedAdam, "fedadam"}}};

// The keys, once for both directions, in the order in which they are written.
template <typename Visitor>
void VisitTop(Visitor& visit, auto& spec) {
  visit("name", spec.plan.task);
  visit("base", spec.model_name);
  visit("secure_aggregation", Choice{spec.plan.secure.mode, training_keys::kSecureWords});
  visit("data_tag", spec.plan.data_tag);
  visit("device_tag", spec.device_tag);
  visit("auto_release", spec.auto_release);
}

template <typename Visitor>
void VisitUpdate(Visitor& visit, auto& plan) {
  training_keys::VisitEncoding(visit, plan.encoding);
  visit("min_examples", plan.min_examples);
}

template <typename Visitor>
void VisitSecure(Visitor& visit, auto& spec) {
  training_keys::VisitSecure(visit, spec.plan.secure);
  visit("cell_devices", spec.cells.largest);
  visit("seat_seconds", spec.cells.seat_time);
  visit("share_seconds", spec.cells.share_time);
  visit("input_seconds", spec.cells.input_time);
  visit("view_seconds", spec.cells.view_time);
  visit("unmask_seconds", spec.cells.unmask_time);
}

template <typename Visitor>
void VisitRound(Visitor& visit, auto& spec) {
  visit("invited", spec.invited_devices);
  visit("needed", spec.needed_updates);
  visit("deadline_seconds", spec.round_deadline);
  visit("linger_seconds", spec.round_linger);
  visit("poll_seconds", spec.poll_interval);
}

template <typename Visitor>
void VisitServer(Visitor& visit, auto& spec) {
  auto& server = spec.server;
  visit("optimizer", Choice{server.kind, kOptimizerWords});
  visit("learning_rate", server.learning_rate);
  visit("momentum", server.momentum);
  visit("beta1", server.beta1);
  visit("beta2", server.beta2);
  visit("tau", server.tau);
  visit("refactor_every", spec.refactor_every);
}

// All of them: `section` gives the visitor for a table's keys.
template <typename Section>
void VisitAll(Section&& section, auto& spec) {
  VisitTop(section(""), spec);
  training_keys::VisitAdapter(section("adapter"), spec.plan);
  training_keys::VisitTraining(section("training"), spec.plan.train);
  VisitUpdate(section("update"), spec.plan);
  VisitSecure(section("secure"), spec);
  training_keys::VisitPrivacy(section("privacy"), spec.plan.privacy);
  VisitRound(section("round"), spec);
  VisitServer(section("server"), spec);
}
inline constexpr std::array<const char*, 8> kSections = {"",       "adapter", "training", "update",
                                                         "secure", "privacy", "round",    "server"};

}  // namespace fleetune::task_keys
