// Every case of the vocabulary vectors, both ways. Left out where the data is absent.

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "inference/gguf/gguf_file.h"
#include "inference/tokenizer/tokenizer.h"
#include "tests/support/status_matchers.h"
#include "tests/support/vocabulary_vectors.h"

namespace fleetune {
namespace {

const std::string kData = FLEETUNE_TEST_DATA;

std::unique_ptr<const Tokenizer> Load(const std::string& path) {
  const auto file = GgufFile::Open(kData + "/" + path);
  EXPECT_THAT(file, IsOk());
  auto tokenizer = Tokenizer::FromGguf(**file);
  EXPECT_THAT(tokenizer, IsOk());
  return *std::move(tokenizer);
}

class TokenizerVectorsTest : public testing::TestWithParam<const char*> {
 protected:
  std::string path() const { return std::string("vocab/ggml-vocab-") + GetParam() + ".gguf"; }
};

TEST_P(TokenizerVectorsTest, EncodesAndDecodesEveryCase) {
  const auto tokenizer = Load(path());
  const std::vector<std::string> inputs = ReadVectorInputs(kData + "/" + path() + ".inp");
  const std::vector<std::vector<int32_t>> outputs = ReadVectorOutputs(kData + "/" + path() + ".out");
  ASSERT_EQ(inputs.size(), outputs.size());
  ASSERT_GE(inputs.size(), 46u);
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_EQ(tokenizer->Encode(inputs[i], {}), outputs[i]) << "case " << i << ": " << inputs[i];
    EXPECT_EQ(tokenizer->Decode(outputs[i]).value(), inputs[i]) << "case " << i;
  }
}

TEST_P(TokenizerVectorsTest, BosComesFirst) {
  const auto tokenizer = Load(path());
  const std::vector<int32_t> tokens = tokenizer->Encode("Hello world", {.add_bos = true});
  ASSERT_TRUE(tokenizer->bos().has_value());
  EXPECT_EQ(tokens.front(), *tokenizer->bos());
  EXPECT_EQ(tokenizer->Decode(tokens).value(), "Hello world");
}

TEST_P(TokenizerVectorsTest, ParsesItsControlTokensOnlyOnRequest) {
  const auto tokenizer = Load(path());
  // How the vocabulary writes its end of text: the only token whose decoding is empty and that is eos.
  for (const char* text : {"<|endoftext|>", "</s>", "<|im_end|>", "<｜end▁of▁sentence｜>"}) {
    const std::vector<int32_t> parsed = tokenizer->Encode(text, {.parse_special = true});
    if (parsed != std::vector<int32_t>{*tokenizer->eos()}) continue;
    if (tokenizer->Decode(parsed).value() == text) continue;  // user-defined: parsed always
    EXPECT_GT(tokenizer->Encode(text, {}).size(), 1u) << text;
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text, {})).value(), text);
    EXPECT_TRUE(tokenizer->IsEndOfText(parsed[0]));
    return;
  }
  FAIL() << "no text of eos found";
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, TokenizerVectorsTest,
                         testing::Values("deepseek-coder", "falcon", "gpt-2", "llama-spm", "phi-3", "qwen2", "starcoder"),
                         [](const auto& vocabulary) {
                           std::string name = vocabulary.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(TokenizerOnRealText, AWholeBookComesBack) {
  const std::string text = ReadTestText(kData + "/text/tinystories_1000.txt");
  for (const char* path : {"models/stories260K-f32.gguf", "vocab/ggml-vocab-llama-spm.gguf", "vocab/ggml-vocab-qwen2.gguf",
                           "vocab/ggml-vocab-gpt-2.gguf"}) {
    const auto tokenizer = Load(path);
    const std::vector<int32_t> tokens = tokenizer->Encode(text, {});
    EXPECT_LT(tokens.size(), text.size()) << path;
    EXPECT_TRUE(tokenizer->Decode(tokens).value() == text) << path;
  }
}

TEST(TokenizerOnRealText, ArbitraryBytesComeBack) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(255 - i));
  for (const char* path : {"models/stories260K-f32.gguf", "vocab/ggml-vocab-qwen2.gguf", "vocab/ggml-vocab-gpt-2.gguf"}) {
    const auto tokenizer = Load(path);
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(bytes, {})).value(), bytes) << path;
  }
}

}  // namespace
}  // namespace fleetune
