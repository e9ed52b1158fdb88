#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "inference/gguf/llama_shape.h"
#include "lora/examples/token_example.h"

namespace fleetune {

// Tokens of `example` that are learned: of a preference none, whose answers are compared instead.
uint64_t CountLearned(const TokenExample& example);

// InvalidArgument, with the number of the first example that a model of `shape` cannot learn in sequences of
// `max_tokens`: too long, empty, marks that are not as many as tokens, a token that the model does not know, nothing to
// learn, of a preference in either answer. Also if there is none, or `max_tokens` is over the model's context.
absl::Status CheckExamples(std::span<const TokenExample> examples, const LlamaShape& shape, uint32_t max_tokens);

}  // namespace fleetune
