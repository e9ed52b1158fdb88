// First byte: what the rest is. Even: a GGUF file, from which a tokenizer is read. Odd: text for tokenizers of each
// kind, with vocabularies that cover every byte: it must come back as it was.

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/gguf_writer.h"
#include "inference/tokenizer/byte_alphabet.h"
#include "inference/tokenizer/tokenizer.h"

namespace fleetune {
namespace {

constexpr int32_t kNormal = 1, kControl = 3, kUserDefined = 4, kByte = 6;
constexpr const char* kPreTokenizers[] = {"default", "gpt-2", "smollm", "qwen2", "llama-bpe", "falcon", "deepseek-coder"};

std::unique_ptr<const Tokenizer> Read(GgufWriter& writer) {
  const auto file = GgufFile::FromBytes(writer.Finish());
  CHECK(file.ok());
  auto tokenizer = Tokenizer::FromGguf(**file);
  CHECK(tokenizer.ok());
  return *std::move(tokenizer);
}

std::unique_ptr<const Tokenizer> ByteLevel(const char* pre) {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(ByteCharacter(static_cast<uint8_t>(byte)));
  std::vector<int32_t> types(tokens.size(), kNormal);
  tokens.insert(tokens.end(), {"aa", "aaa", "aaaa", "Ġa", "ĠĠ", "11", "Ã©", "<e>", "[x]"});
  types.insert(types.end(), {kNormal, kNormal, kNormal, kNormal, kNormal, kNormal, kNormal, kControl, kUserDefined});
  const std::vector<std::string> merges = {"a a", "aa a", "aa aa", "Ġ a", "Ġ Ġ", "1 1", "Ã ©"};
  GgufWriter writer;
  writer.AddString("tokenizer.ggml.model", "gpt2");
  writer.AddString("tokenizer.ggml.pre", pre);
  writer.AddStrings("tokenizer.ggml.tokens", tokens);
  writer.AddInts("tokenizer.ggml.token_type", types);
  writer.AddStrings("tokenizer.ggml.merges", merges);
  return Read(writer);
}

std::unique_ptr<const Tokenizer> SentencePiece() {
  std::vector<std::string> tokens = {"<unk>", "▁", "a", "aa", "aaa", "▁a", "▁▁", "é", "[x]"};
  std::vector<int32_t> types = {2, kNormal, kNormal, kNormal, kNormal, kNormal, kNormal, kNormal, kUserDefined};
  constexpr char kHex[] = "0123456789ABCDEF";
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(std::string("<0x") + kHex[byte >> 4] + kHex[byte & 15] + ">");
    types.push_back(kByte);
  }
  std::vector<float> scores(tokens.size(), 0);
  for (size_t i = 0; i < 9; ++i) scores[i] = -static_cast<float>(i % 4);
  GgufWriter writer;
  writer.AddString("tokenizer.ggml.model", "llama");
  writer.AddStrings("tokenizer.ggml.tokens", tokens);
  writer.AddInts("tokenizer.ggml.token_type", types);
  writer.AddFloats("tokenizer.ggml.scores", scores);
  return Read(writer);
}

void CheckText(std::string_view text) {
  static const auto* const tokenizers = [] {
    auto* all = new std::vector<std::unique_ptr<const Tokenizer>>;
    for (const char* pre : kPreTokenizers) all->push_back(ByteLevel(pre));
    return all;
  }();
  for (const auto& tokenizer : *tokenizers) {
    CHECK(tokenizer->Decode(tokenizer->Encode(text, {})).value() == text);
  }
  static const std::unique_ptr<const Tokenizer> sentence_piece = SentencePiece();
  const std::string decoded = sentence_piece->Decode(sentence_piece->Encode(text, {})).value();
  // U+2581 is this tokenizer's space; a text with it comes back with spaces.
  if (text.find("▁") == std::string_view::npos) CHECK(decoded == text);
}

void CheckFile(std::span<const uint8_t> bytes) {
  const auto file = GgufFile::FromBytes(bytes);
  if (!file.ok()) return;
  const auto tokenizer = Tokenizer::FromGguf(**file);
  if (!tokenizer.ok()) return;
  for (const int32_t token : (*tokenizer)->Encode("Hello, <e> wörld\n 12\xff", {.add_bos = true, .parse_special = true})) {
    CHECK((*tokenizer)->Decode({&token, 1}).ok());
  }
}

}  // namespace
}  // namespace fleetune

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  const std::span<const uint8_t> rest(bytes + 1, size - 1);
  if (bytes[0] % 2 == 0) {
    fleetune::CheckFile(rest);
  } else {
    fleetune::CheckText(fleetune::AsText(rest));
  }
  return 0;
}
