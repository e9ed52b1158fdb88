#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "inference/huggingface/json_object.h"

namespace fleetune {

// What tokenizer.json does to a text before tokens are joined, in the words of GGUF files.
struct TextPipeline {
  bool is_byte_level = false;  // tokenizer.ggml.model "gpt2", else "llama" (SentencePiece's)
  std::string pre_tokenizer;   // of byte-level ones: tokenizer.ggml.pre
  bool adds_space = false;     // of the others: tokenizer.ggml.add_space_prefix
};

// From `normalizer` and `pre_tokenizer`, and from `ignore_merges` of the model. NFC is passed over, as GGUF's readers
// do: a text that is not in that form gets other tokens. InvalidArgument naming the step that no GGUF tokenizer has.
absl::StatusOr<TextPipeline> ReadTextPipeline(const JsonObject& tokenizer);

}  // namespace fleetune
