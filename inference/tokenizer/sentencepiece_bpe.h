#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "inference/gguf/gguf_file.h"
#include "inference/tokenizer/tokenizer.h"

namespace fleetune {

// The tokenizer of tokenizer.ggml.model "llama": SentencePiece's BPE (Kudo and Richardson 2018), which joins
// the neighbours whose joint token has the best score, writes a space as U+2581, and spells what no token
// covers in byte tokens "<0xNN>". Errors as Tokenizer::FromGguf.
absl::StatusOr<std::unique_ptr<const Tokenizer>> ReadSentencePieceBpe(const GgufFile& file);

}  // namespace fleetune
