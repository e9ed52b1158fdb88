#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "inference/gguf/llama_shape.h"

namespace fleetune {

// What config.json of a Hugging Face model folder says of a Llama-family model.
struct ModelConfig {
  // "llama" for LlamaForCausalLM and MistralForCausalLM, "qwen2" for Qwen2ForCausalLM. The vocabulary is the rows of
  // the embedding, of which some may belong to no token. Where attention slides over a window, the context is the
  // window: up to there it sees all there is.
  LlamaShape shape;
  std::optional<uint32_t> bos = {}, eos = {}, pad = {};  // token ids; of several eos the first
};

// Keys that are absent have the value that Hugging Face's transformers gives them.
// InvalidArgument for text that is no such file, a key out of its range, and for what would change the computation and
// is not computed here (another model type or activation, scaled rotation, biases of other projections, quantized
// weights), by key and value.
absl::StatusOr<ModelConfig> ReadModelConfig(std::string_view text);

}  // namespace fleetune
