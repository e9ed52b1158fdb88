// First byte: which file of a Hugging Face model folder the rest is. A tokenizer that is read is written as GGUF, and
// what reads that either refuses it or encodes text with tokens of the vocabulary.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "inference/huggingface/gguf_tokenizer.h"
#include "inference/huggingface/model_config.h"
#include "inference/huggingface/model_tensors.h"
#include "inference/huggingface/tokenizer_config.h"
#include "inference/huggingface/tokenizer_json.h"
#include "inference/huggingface/weight_files.h"
#include "inference/tokenizer/tokenizer.h"

namespace fleetune {
namespace {

constexpr uint32_t kRows = 300;

void CheckModelConfig(std::string_view text) {
  const auto config = ReadModelConfig(text);
  if (!config.ok()) return;
  const LlamaShape& shape = config->shape;
  CHECK(shape.heads % shape.kv_heads == 0 && shape.head_size % 2 == 0);
  if (shape.layers > 8) return;
  for (const ModelTensor& tensor : TensorsOf(shape)) {
    CHECK(tensor.rows > 0 && tensor.columns > 0);
    if (tensor.rows <= 1000) {
      std::vector<bool> taken(tensor.rows, false);
      for (uint64_t row = 0; row < tensor.rows; ++row) taken[SourceRow(tensor, row)] = true;
      CHECK(std::find(taken.begin(), taken.end(), false) == taken.end());
    }
  }
}

void CheckTokenizer(std::string_view text) {
  const auto read = ReadTokenizerJson(text, kRows);
  if (!read.ok()) return;
  CHECK(read->table.tokens.size() == kRows && read->table.types.size() == kRows);
  GgufWriter writer;
  const TokenizerConfig config = {.bos = read->before.empty() ? std::nullopt : std::optional(read->before)};
  if (!AddTokenizer(*read, config, {}, writer).ok()) return;
  const auto file = GgufFile::FromBytes(writer.Finish());
  CHECK(file.ok());
  const auto tokenizer = Tokenizer::FromGguf(**file);
  if (!tokenizer.ok()) return;
  for (const int32_t token :
       (*tokenizer)->Encode("Hello, <s> wörld\n 12  ab", {.add_bos = true, .parse_special = true})) {
    CHECK(token >= 0 && token < static_cast<int32_t>(kRows));
  }
}

void CheckIndex(std::string_view text) {
  const auto index = ReadWeightIndex(text);
  if (!index.ok()) return;
  for (const std::string& file : index->files) CHECK(file.find('/') == std::string::npos);
}

}  // namespace
}  // namespace fleetune

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  if (size == 0) return 0;
  const std::string_view text = AsText({bytes + 1, size - 1});
  switch (bytes[0]) {
    case 'c':
      CheckModelConfig(text);
      break;
    case 't':
      CheckTokenizer(text);
      break;
    case 's':
      (void)ReadTokenizerConfig(text);
      break;
    default:
      CheckIndex(text);
  }
  return 0;
}
