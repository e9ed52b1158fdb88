#pragma once

#include "absl/status/status.h"
#include "inference/gguf/gguf_writer.h"
#include "inference/huggingface/model_config.h"
#include "inference/huggingface/tokenizer_config.h"
#include "inference/huggingface/tokenizer_json.h"

namespace fleetune {

// Adds tokenizer.ggml.* and tokenizer.chat_template. What tokens are for: by `config`, else by the ids of `model`;
// whether BOS comes first: by `config`, else by the template of `tokenizer`, else left to the pre-tokenizer.
// InvalidArgument for a named token that the vocabulary does not have, and for a template that puts anything but BOS
// before a text.
absl::Status AddTokenizer(const TokenizerJson& tokenizer, const TokenizerConfig& config, const ModelConfig& model,
                          GgufWriter& writer);

}  // namespace fleetune
