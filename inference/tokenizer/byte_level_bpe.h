#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "inference/gguf/gguf_file.h"
#include "inference/tokenizer/tokenizer.h"

namespace fleetune {

// More than any vocabulary has: each merge makes a token of its own.
inline constexpr size_t kMaxMerges = 4'000'000;

// The tokenizer of tokenizer.ggml.model "gpt2": byte-level BPE (Sennrich et al. 2016; Radford et al. 2019).
// Pieces of the text, cut by tokenizer.ggml.pre, are joined byte by byte in the order of the merges. A byte
// for which the vocabulary has no token becomes the unknown token, or is left out if there is none (falcon
// and starcoder have no tokens for bytes that UTF-8 never uses). Errors as Tokenizer::FromGguf;
// ResourceExhausted over kMaxMerges.
absl::StatusOr<std::unique_ptr<const Tokenizer>> ReadByteLevelBpe(const GgufFile& file);

}  // namespace fleetune
