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

// What Sequence::Load asks; its errors. `expected`: bytes that so many tokens have.
absl::Status CheckLoad(uint32_t tokens, uint32_t max_tokens, uint64_t saved, uint64_t expected);

// Tokens to compute together, and where what follows from the last of them goes: a row a token, maybe none.
struct OutputPart {
  std::span<const int32_t> tokens;
  std::span<float> output;
};

// Cuts `tokens` into parts of at most `chunk`; `output` holds rows of `row` floats for the last tokens. Requires whole rows,
// at most one for each token; checked.
std::vector<OutputPart> PartsOf(size_t row, std::span<const int32_t> tokens, std::span<float> output, size_t chunk);

}  // namespace fleetune
