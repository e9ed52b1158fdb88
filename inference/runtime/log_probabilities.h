#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "inference/kernels/instruction_set.h"

namespace fleetune {

struct TokenProbability {
  int32_t token = 0;
  double log_probability = 0;  // natural, at most 0

  friend bool operator==(const TokenProbability&, const TokenProbability&) = default;
};

// What the model says of the next token, before temperature and limits: that of `chosen`, then the `count` likeliest,
// likeliest first (of equals the first token); to 1e-6. Requires `chosen` to be an index into `logits`, which are finite.
std::vector<TokenProbability> LogProbabilities(std::span<const float> logits, int32_t chosen, uint32_t count,
                                               InstructionSet set = InstructionSet::kScalar);

}  // namespace fleetune
