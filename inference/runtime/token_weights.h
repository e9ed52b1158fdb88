#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fleetune {

// Choices among the tokens of a vocabulary by their weights: probabilities times a constant, of which the largest is 1.

struct WeighedToken {
  int32_t token = 0;
  float weight = 0;  // above 0, at most 1
};

// Those whose weight is above 0, in order. `weights` are by token, at least 0 and at most 1; checked.
std::vector<WeighedToken> TokensWithWeight(std::span<const float> weights);

// Keeps the `count` likeliest, of equals the first token; takes time of their number alone, however many are kept. Changes their
// order. Requires count > 0; checked.
void KeepLikeliest(std::vector<WeighedToken>& tokens, size_t count);
// The fewest likeliest that have this share of their sum (Holtzman et al. 2020, "nucleus"), likewise. Requires a share above
// 0; checked.
void KeepShare(std::vector<WeighedToken>& tokens, double share);

// One of them with its probability. `unit` is uniform in [0, 1). Requires a weight above 0; checked.
int32_t DrawToken(std::span<const float> weights, double unit);
int32_t DrawToken(std::span<const WeighedToken> tokens, double unit);

}  // namespace fleetune
