#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/random.h"
#include "inference/kernels/lane_kernels.h"

namespace fleetune {

struct SampleOptions {
  float temperature = 0.0f;  // 0: the likeliest token always (of equals the first); at most 10
  uint32_t top_k = 0;        // among the likeliest k; 0: all
  float top_p = 1.0f;        // then among the fewest that together have this probability, (0, 1]
  float min_p = 0.0f;        // before both: among those at least this times as likely as the likeliest, [0, 1]
  // Logits of tokens among the last repetition_window are divided by it where positive, else multiplied (Keskar et al.
  // 2019, section 4.1). Above 1 a token is less likely to come again; (0, 10].
  float repetition_penalty = 1.0f;
  uint32_t repetition_window = 64;  // tokens of prompt and answer; 0 to 32,768
  uint64_t seed = 1;
};
// InvalidArgument naming the first field out of its range.
absl::Status Validate(const SampleOptions& options);

// Chooses tokens. The same options, tokens seen, logits and instruction set give the same choices. Not thread-safe.
class Sampler {
 public:
  // Requires valid options.
  explicit Sampler(const SampleOptions& options, InstructionSet set = InstructionSet::kScalar)
      : options_(options), lanes_(LaneKernelsOf(set)), random_(options.seed) {}

  // What was read or chosen, in order: for the repetition penalty.
  void Saw(std::span<const int32_t> tokens);

  // An index into `logits`. Internal if a logit is not a number or infinite: the weights are damaged.
  // Requires that there is a logit; checked.
  absl::StatusOr<int32_t> Sample(std::span<const float> logits);
  // The same among the tokens that `allowed` says. FailedPrecondition if there is none.
  absl::StatusOr<int32_t> Sample(std::span<const float> logits, absl::FunctionRef<bool(int32_t)> allowed);

 private:
  using Allowed = absl::FunctionRef<bool(int32_t)>;
  // Null: all are allowed.
  absl::StatusOr<int32_t> Choose(std::span<const float> logits, const Allowed* allowed);
  std::span<const float> Penalize(std::span<const float> logits);
  // `highest`: of the logits.
  static absl::StatusOr<int32_t> Likeliest(std::span<const float> logits, float highest, const Allowed* allowed);
  // weights_ of all tokens: 0 of those that are not allowed or that min_p leaves out.
  absl::Status Weigh(std::span<const float> logits, float highest, const Allowed* allowed);

  const SampleOptions options_;
  const LaneKernels& lanes_;
  SplitMix64 random_;
  std::deque<int32_t> recent_;
  // Kept from one choice to the next for their memory.
  std::vector<float> penalized_;
  std::vector<float> weights_;
  std::vector<uint8_t> is_allowed_;
};

}  // namespace fleetune
