#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/gguf/gguf_writer.h"

namespace fleetune {

// A byte-level BPE vocabulary (GPT-2's form and pre-tokenizer): the 256 bytes, a token a merge, and last the control
// tokens <|bos|> and <|eos|>.
struct LearnedVocabulary {
  std::vector<std::string> tokens;  // in the printable alphabet of inference/tokenizer/byte_alphabet.h
  std::vector<std::string> merges;  // "left right", earlier ones first
};

inline constexpr uint32_t kByteTokens = 256;
inline constexpr uint32_t kControlTokens = 2;

// Learns it from `text`: the commonest pair of neighbours within a piece becomes a token, until there are `size` tokens
// or no pair occurs twice; of equally common pairs the one that is first in the order of bytes. Pure.
// InvalidArgument unless size is 258 .. 65,536.
absl::StatusOr<LearnedVocabulary> LearnVocabulary(std::string_view text, uint32_t size);

// A vocabulary of `size` tokens that knows single bytes only; the rest is never used. For models of random weights.
LearnedVocabulary ByteVocabulary(uint32_t size);

// Writes tokenizer.ggml.*.
void AddVocabulary(const LearnedVocabulary& vocabulary, GgufWriter& writer);

}  // namespace fleetune
