#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "client/core/cell_check.h"
#include "client/core/personal_settings.h"
#include "client/governor/governor.h"
#include "inference/gguf/gguf_file.h"

namespace fleetune {

// The API for programs of the same machine: docs/guides/api.md.
struct ApiSettings {
  std::string listen;                     // "127.0.0.1:8080"; empty: there is none
  bool keep_feedback = false;             // POST /v1/feedback becomes examples; else it is refused
  std::string feedback_tag = "feedback";  // of these examples: answers that were good, and what bad ones should have been
  std::string preference_tag = "preferences";  // of pairs, which of two answers was liked better; empty: none are kept
  uint64_t prompt_cache_megabytes = 64;   // of prompts that were read, 0 .. 100,000
  uint64_t prompt_cache_disk_megabytes = 256;  // of system prompts that outlive the daemon, sealed, 0 .. 100,000; 0: none does
  TensorType cache_type = TensorType::kF16;    // of keys and values: kF16, or kQ8_0, which takes half of the memory
  bool personal_by_default = true;        // a task's name means the device's own adapter on top, where there is one
};

// What a device's owner decides, in client.toml. Every key has a default.
struct ClientSettings {
  std::string profile;            // of client/core/profile.h; empty: as enrolled, else edge_server
  uint64_t memory_megabytes = 0;  // that training may use, 16 .. 1,000,000; 0: as much as the profile allows
  uint32_t threads = 0;           // of the trainer, 0 .. 1024; 0: as many as the profile says
  uint32_t answer_milliseconds = 0;  // that one answer may take, up to an hour; 0: as many as the profile says
  uint32_t checkpoint_steps = 20; // of a training, that losing it may cost, 0 .. 1,000,000; 0: all
  uint32_t largest_rank = 0;      // of adapters that are trained here: of larger ones the first so many, 0 .. 256; 0: any
  std::vector<std::string> models;  // GGUF files that the machine has already; used where they lie
  std::string trainer;            // path of fleetune-trainer; empty: beside this program
  int trainer_niceness = 19;      // 0 .. 19; at 19 it trains when nobody else wants the processor
  GovernorLimits governor;        // [governor]; its max_memory_bytes follows from the two above
  PrivacyPolicy privacy;          // [privacy]
  std::optional<PersonalSettings> personal;  // [personal]; none: no personal adapter is trained
  ApiSettings api;                // [api]
};

inline constexpr size_t kMaxSettingsBytes = 64 * 1024;

// Parses
//   profile = "raspberry_pi"      memory_megabytes = 1500      threads = 2      max_rank = 4
//   checkpoint_steps = 20         trainer_niceness = 19    answer_milliseconds = 2000
//   models = ["/models/a.gguf"]   trainer = "/usr/libexec/fleetune-trainer"
//   [governor]
//   min_battery_percent_unplugged = 50    min_battery_percent_plugged = 20    max_celsius = 85.0
//   max_load_per_cpu = 0.0                memory_reserve_megabytes = 128
//   train_from = "22:00"                  train_until = "06:00"
//   [privacy]
//   min_cohort = 3             min_survivors = 3     min_threshold = 2
//   min_adversarial = 0.0      max_corruption = 0.5
//   malicious_profile_only = false                   refuse_unmasked = false
//   min_noise_multiplier = 0.0                       epsilon_limit = 8.0     epsilon_delta = 1e-6
//   [personal]                  what its keys mean: client/core/personal_settings.h
//   task = "household"          data_tag = "notes"   held_out_share = 0.2
//   rank = 4                    alpha = 8.0          epochs = 3.0
//   learning_rate = 0.001       sequence_length = 256
//   [api]
//   listen = "127.0.0.1:8080"  keep_feedback = false     feedback_tag = "feedback"    prompt_cache_megabytes = 64
//   personal_by_default = true preference_tag = "preferences"    prompt_cache_disk_megabytes = 256
//   cache_type = "f16"         or "q8_0"
// InvalidArgument naming key and line: an unknown key, a wrong type, a value out of range.
absl::StatusOr<ClientSettings> ParseSettings(std::string_view toml);

// The file's, or the defaults if there is none.
absl::StatusOr<ClientSettings> LoadSettings(const std::string& path);

// `settings.profile`, or `enrolled_profile`, or edge_server; its budget is what the governor allows at most, or
// less if memory_megabytes says so. InvalidArgument for an unknown profile.
struct DeviceBudget {
  std::string profile;
  uint64_t memory_bytes = 0;
  uint32_t threads = 0;  // of the trainer: what the settings say, else the profile's, but no more than there are cores
  std::chrono::milliseconds answer_time{};  // for one answer, more than 0: what the settings say, else the profile's
};
absl::StatusOr<DeviceBudget> BudgetOf(const ClientSettings& settings, const std::string& enrolled_profile);

}  // namespace fleetune
