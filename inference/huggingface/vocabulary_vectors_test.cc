// The vocabulary vectors through tokenizer.json: a published vocabulary written as Hugging Face's file, read, and
// written as GGUF again gives the same tokens. Left out where the data is absent.

#include "tests/support/vocabulary_vectors.h"

#include "gtest/gtest.h"
#include "inference/huggingface/gguf_tokenizer.h"
#include "inference/tokenizer/tokenizer.h"
#include "tests/support/huggingface_files.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

class VocabularyVectorsTest : public testing::TestWithParam<const char*> {};

TEST_P(VocabularyVectorsTest, EveryTextHasItsTokens) {
  const std::string path = std::string(FLEETUNE_TEST_DATA) + "/vocab/ggml-vocab-" + GetParam() + ".gguf";
  const auto original = GgufFile::Open(path);
  ASSERT_THAT(original, IsOk());
  const auto rows = static_cast<uint32_t>((*original)->GetStrings("tokenizer.ggml.tokens")->size());
  const auto read = ReadTokenizerJson(TokenizerJsonOf(**original).dump(), rows + 7);
  ASSERT_THAT(read, IsOk());
  GgufWriter writer;
  const auto bos = static_cast<uint32_t>(*(*original)->GetUint("tokenizer.ggml.bos_token_id"));
  ASSERT_THAT(AddTokenizer(*read, {}, {.shape = {}, .bos = bos}, writer), IsOk());
  const auto written = GgufFile::FromBytes(writer.Finish());
  ASSERT_THAT(written, IsOk());
  const auto tokenizer = Tokenizer::FromGguf(**written);
  ASSERT_THAT(tokenizer, IsOk());
  EXPECT_EQ((*tokenizer)->vocabulary_size(), static_cast<int32_t>(rows + 7));

  const std::vector<std::string> inputs = ReadVectorInputs(path + ".inp");
  const std::vector<std::vector<int32_t>> outputs = ReadVectorOutputs(path + ".out");
  ASSERT_EQ(inputs.size(), outputs.size());
  ASSERT_GE(inputs.size(), 46u);
  for (size_t i = 0; i < inputs.size(); ++i) EXPECT_EQ((*tokenizer)->Encode(inputs[i], {}), outputs[i]) << inputs[i];
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, VocabularyVectorsTest,
                         testing::Values("gpt-2", "llama-spm", "phi-3", "qwen2", "starcoder"),
                         [](const auto& vocabulary) {
                           std::string name = vocabulary.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace fleetune
