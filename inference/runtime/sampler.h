#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "base/random.h"

namespace fleetune {

struct SampleOptions {
  float temperature = 0.0f;  // 0: the likeliest token always (of equals the first)
  uint32_t top_k = 0;        // among the likeliest k; 0: all
  float top_p = 1.0f;        // then among the fewest that together have this probability, (0, 1]
  uint64_t seed = 1;
};

// Chooses tokens. The same options and logits give the same choices. Not thread-safe.
class Sampler {
 public:
  explicit Sampler(const SampleOptions& options) : options_(options), random_(options.seed) {}

  // An index into `logits`. Internal if a logit is not a number or infinite: the weights are damaged.
  // Requires that there is a logit; checked.
  absl::StatusOr<int32_t> Sample(std::span<const float> logits);

 private:
  const SampleOptions options_;
  SplitMix64 random_;
};

}  // namespace fleetune
