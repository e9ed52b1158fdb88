#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/gguf/gguf_file.h"

namespace fleetune {

// Text to token ids and back, as a GGUF file's metadata (tokenizer.ggml.*) prescribes. Immutable, so thread-safe.
class Tokenizer {
 public:
  // Copies what it needs; `file` need not outlive it.
  // InvalidArgument naming the model ("bert"), the pre-tokenizer or the key that is unknown, missing or contradictory;
  // ResourceExhausted over kMaxVocabulary.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> FromGguf(const GgufFile& file);

  virtual ~Tokenizer() = default;

  struct EncodeOptions {
    bool add_bos = false;        // puts BOS first, whatever the model's own setting
    bool parse_special = false;  // "<|im_end|>" and the like become their control tokens; only for trusted text
  };
  // Never fails: what no token covers becomes byte tokens or the unknown token (bytes that have neither, which
  // are no part of UTF-8 text, are left out). `text` may be any bytes. Without parse_special no text ever
  // becomes a control token.
  virtual std::vector<int32_t> Encode(std::string_view text, const EncodeOptions& options) const = 0;

  struct TextPart {
    std::string_view text;
    bool parse_special = false;  // as above, for this part
  };
  // All parts as one text, such as a chat template and what people said: tokens may span parts, as if it were encoded
  // whole, but a control token lies in parts that allow it. Never fails, as above.
  virtual std::vector<int32_t> EncodeParts(std::span<const TextPart> parts, bool add_bos) const = 0;

  // The text of `tokens`, control and unknown tokens left out; it need not be UTF-8 where a character is cut.
  // Undoes the space that the encoder of the `llama` model adds where a text begins or goes on after a special
  // token, if `strip_leading_space`. Ids out of range are InvalidArgument.
  virtual absl::StatusOr<std::string> Decode(std::span<const int32_t> tokens,
                                             bool strip_leading_space = true) const = 0;

  virtual int32_t vocabulary_size() const = 0;
  virtual std::optional<int32_t> bos() const = 0;
  virtual std::optional<int32_t> eos() const = 0;
  virtual std::optional<int32_t> eot() const = 0;     // ends a turn of a chat
  virtual bool adds_bos() const = 0;                  // the model's own setting
  virtual bool IsEndOfText(int32_t token) const = 0;  // eos, eot, or another control token that ends an answer
  // The model's chat template text (tokenizer.chat_template), empty if it has none.
  virtual const std::string& chat_template() const = 0;
};

inline constexpr int32_t kMaxVocabulary = 1'000'000;

}  // namespace fleetune
