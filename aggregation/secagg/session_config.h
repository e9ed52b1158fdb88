#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "aggregation/secagg/graph_parameters.h"
#include "base/bytes.h"
#include "base/digest.h"

namespace fleetune::secagg {

inline constexpr uint32_t kMinCohort = 3;  // with two, each knows the other's input from the sum
inline constexpr uint32_t kMaxCohort = 4096;
static_assert(kMinCohort >= kMinGraphDevices && kMaxCohort <= kMaxGraphDevices);
inline constexpr size_t kMaxNameBytes = 64;            // of tasks, rounds and devices
inline constexpr uint64_t kMaxDimension = 1ull << 28;  // elements of the ring
inline constexpr std::chrono::milliseconds kMaxPhaseTime = std::chrono::hours(24);

// How long each phase waits for the devices that have not answered.
struct PhaseTimes {
  std::chrono::milliseconds advertise{};
  std::chrono::milliseconds share_keys{};
  std::chrono::milliseconds masked_input{};
  std::chrono::milliseconds view{};
  std::chrono::milliseconds unmask{};

  friend bool operator==(const PhaseTimes&, const PhaseTimes&) = default;
};

// What one session (a cell of a round) is about. Signed by the coordinator (SignPurpose::kSecAggConfig); its hash is
// under every signature, key and mask of the session, so devices that were told different things make masks that do
// not cancel.
//
// Neighbours k and threshold t are not in it (ours): they follow from profile, gamma, delta and the roster's size, and
// everybody computes them.
struct SessionConfig {
  std::string task;  // 1 .. kMaxNameBytes printable ASCII; of round too
  std::string round;
  uint32_t cell = 0;                // within the round
  std::array<uint8_t, 32> nonce{};  // the coordinator's, fresh
  Digest base;                      // SHA-256 of the base model
  Digest adapter;                   // hash of the version that was trained from
  Profile profile = Profile::kHonestButCurious;

  uint64_t dimension = 0;                   // ring elements of an input, 1 .. kMaxDimension
  uint8_t lane_bits = 32;                   // 16, 24 or 32
  double clip_norm = 0;                     // of the update, L2, > 0
  double scale = 0;                         // ring units of 1.0, > 0
  std::array<uint8_t, 32> rotation_seed{};  // public
  double noise_multiplier = 0;              // of distributed DP; 0: no noise
  double noise_delta = 0;                   // of (epsilon, delta); 0 without noise

  uint32_t max_cohort = 0;              // seats, kMinCohort .. kMaxCohort
  uint32_t min_cohort = kMinCohort;     // n_min: fewest in the roster, kMinCohort .. max_cohort
  uint32_t min_survivors = kMinCohort;  // u_min: fewest inputs in the sum, kMinCohort .. min_cohort
  double adversarial = 0.1;             // gamma: share of devices that may help the coordinator, [0, 0.5)
  double dropout = 0.1;                 // delta: share of devices that may vanish, [0, 0.5)
  PhaseTimes times;                     // each 1 ms .. kMaxPhaseTime

  friend bool operator==(const SessionConfig&, const SessionConfig&) = default;
};

// InvalidArgument naming the first field out of range, with its range.
absl::Status Validate(const SessionConfig& config);

// Fewest inputs in the sum of a roster of `cohort` devices: min_survivors, and with noise so many that the noise which is
// counted on is there.
uint32_t FewestInputs(const SessionConfig& config, uint32_t cohort);

// Canonical bytes: what is signed and hashed. Requires a valid config; checked.
Bytes EncodeSessionConfig(const SessionConfig& config);

// InvalidArgument, DataLoss (cut short or too long), ResourceExhausted (a text over its limit). The result is valid.
absl::StatusOr<SessionConfig> ParseSessionConfig(std::span<const uint8_t> bytes);

inline constexpr size_t kMaxSessionConfigBytes = 1024;

}  // namespace fleetune::secagg
