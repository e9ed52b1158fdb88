#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/huggingface/merges.h"
#include "inference/huggingface/text_pipeline.h"
#include "inference/huggingface/token_table.h"

namespace fleetune {

// tokenizer.json of Hugging Face's tokenizers, for BPE: byte-level, or as SentencePiece does it.
struct TokenizerJson {
  TextPipeline pipeline;
  TokenTable table;
  std::vector<TokenMerge> merges;  // of byte-level ones
  std::vector<float> scores;       // of SentencePiece's
  std::optional<int32_t> unknown;
  // What the post-processor puts before and after a text; it is a TemplateProcessing if `has_template`.
  bool has_template = false;
  std::string before, after;
};

// `rows`: of the embedding. InvalidArgument for what no GGUF tokenizer does, by name: another model than BPE, a step of
// the text pipeline, an added token that takes spaces, merges that no scores stand for.
absl::StatusOr<TokenizerJson> ReadTokenizerJson(std::string_view text, uint32_t rows);

}  // namespace fleetune
