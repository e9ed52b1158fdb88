#include "inference/tokenizer/tokenizer.h"

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/tokenizer/byte_level_bpe.h"
#include "inference/tokenizer/sentencepiece_bpe.h"
#include "inference/tokenizer/vocabulary.h"

namespace fleetune {

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::FromGguf(const GgufFile& file) {
  ASSIGN_OR_RETURN(const auto model, OptionalString(file, "tokenizer.ggml.model"));
  if (!model) return absl::InvalidArgumentError("tokenizer.ggml.model: the key is missing");
  if (*model == "llama") return ReadSentencePieceBpe(file);
  if (*model == "gpt2") return ReadByteLevelBpe(file);
  return absl::InvalidArgumentError(
      fmt::format("tokenizer.ggml.model: expected \"llama\" or \"gpt2\", got \"{}\"", *model));
}

}  // namespace fleetune
