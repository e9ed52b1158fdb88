#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/model/model.h"

namespace fleetune {

struct TextLoss {
  double mean_loss = 0;  // nats a scored token; its exponential is the perplexity
  uint64_t scored_tokens = 0;
};

// Scores text files by PerplexityOverWindows, with the model's own tokenizer. `adapter` may be null.
// Errors of ReadFile and PerplexityOverWindows, naming the file; Internal if logits are not finite. Requires at least one
// path; checked.
absl::StatusOr<TextLoss> LossOverTexts(std::shared_ptr<const Model> model, std::shared_ptr<const Adapter> adapter,
                                       const std::vector<std::string>& paths, uint32_t window);

}  // namespace fleetune
