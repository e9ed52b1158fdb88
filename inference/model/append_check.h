#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "inference/gguf/llama_shape.h"

namespace fleetune {

// What Sequence::Append asks of its tokens, after `position` of at most `max_tokens`; its errors.
absl::Status CheckAppend(const LlamaShape& shape, std::span<const int32_t> tokens, uint32_t position,
                         uint32_t max_tokens);

// Tokens to compute together, and where their logits go: after each of them, after the last alone, or nowhere.
struct LogitsPart {
  std::span<const int32_t> tokens;
  std::span<float> logits;
};

// Cuts `tokens` into parts of at most `chunk`. Requires one of the two sizes of `logits` that Append takes; checked.
std::vector<LogitsPart> PartsOf(const LlamaShape& shape, std::span<const int32_t> tokens, std::span<float> logits,
                                size_t chunk);

}  // namespace fleetune
