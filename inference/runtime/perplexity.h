#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/model/model.h"

namespace fleetune {

// What the model says while it reads a text.
struct TokenPredictions {
  std::vector<double> log_probability;  // ln p(tokens[i + 1] | tokens[0 .. i]): tokens.size() - 1 values
  std::vector<int32_t> likeliest;       // the likeliest after tokens[0 .. i], of equals the first: tokens.size() values
};

// `adapter` may be null: the base alone. InvalidArgument for fewer than two tokens, more than the context, or one out of
// range; errors of Sequence::Start.
absl::StatusOr<TokenPredictions> PredictTokens(std::shared_ptr<const Model> model, std::shared_ptr<const Adapter> adapter,
                                               std::span<const int32_t> tokens);

// The same without the likeliest.
absl::StatusOr<std::vector<double>> NextTokenLogProbabilities(std::shared_ptr<const Model> model,
                                                              std::shared_ptr<const Adapter> adapter,
                                                              std::span<const int32_t> tokens);

struct WindowedPerplexity {
  double perplexity = 0;  // exp(mean_loss)
  double mean_loss = 0;   // nats a scored token
  uint64_t scored_tokens = 0;
};

// Cuts `tokens` into windows of `window` tokens, the last incomplete one left out; in each, the second half is
// scored given what precedes it in the window. If `bos` >= 0 it takes the place of each window's first token.
// InvalidArgument if there is not one whole window, or it does not fit the context.
absl::StatusOr<WindowedPerplexity> PerplexityOverWindows(std::shared_ptr<const Model> model,
                                                         std::shared_ptr<const Adapter> adapter,
                                                         std::span<const int32_t> tokens, uint32_t window, int32_t bos);

}  // namespace fleetune
