#include "inference/huggingface/model_folder.h"

#include <filesystem>
#include <functional>

#include "gtest/gtest.h"
#include "tests/support/huggingface_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using nlohmann::json;

class ModelFolderTest : public testing::Test {
 protected:
  // The folder of `model`, opened.
  absl::StatusOr<ModelFolder> OpenFolderOf(const TinyLlama& model) {
    original_ = *GgufFile::FromBytes(model.ToBytes());
    WriteHuggingFaceFolder(*original_, folder_.path());
    return ModelFolder::Open(folder_.path());
  }
  std::string File(const char* name) const { return folder_.File(name); }
  Bytes ReadBytes(const char* name) const { return *ReadFile(File(name), 1 << 20); }
  // Opens the folder once a JSON file is changed.
  absl::Status WithChanged(const char* name, const std::function<void(json&)>& change) {
    const Bytes before = ReadBytes(name);
    json content = json::parse(before.begin(), before.end());
    change(content);
    WriteTestFile(File(name), AsBytes(content.dump()));
    const absl::Status status = ModelFolder::Open(folder_.path()).status();
    WriteTestFile(File(name), before);
    return status;
  }

  const TempFolder folder_;
  std::shared_ptr<const GgufFile> original_;
};

TEST_F(ModelFolderTest, IsTheModelItWasMadeOf) {
  for (const TinyLlama& model : {TinyLlama{.width = 32, .heads = 4, .kv_heads = 2}, TinyLlama{.tied_output = false},
                                 TinyLlama{.architecture = "qwen2", .qkv_bias = true}}) {
    const auto folder = OpenFolderOf(model);
    ASSERT_THAT(folder, IsOk());
    ASSERT_THAT(folder->WriteGguf(File("out.gguf")), IsOk());
    const auto written = GgufFile::Open(File("out.gguf"));
    ASSERT_THAT(written, IsOk());
    ASSERT_EQ((*written)->tensors().size(), original_->tensors().size());
    for (const GgufTensor& tensor : original_->tensors()) {
      const GgufTensor* got = (*written)->FindTensor(tensor.name);
      ASSERT_NE(got, nullptr) << tensor.name;
      EXPECT_EQ(got->shape, tensor.shape);
      EXPECT_TRUE(std::ranges::equal(got->data, tensor.data)) << tensor.name;
    }
    const auto before = ReadLlamaShape(*original_), after = ReadLlamaShape(**written);
    ASSERT_THAT(after, IsOk());
    EXPECT_EQ(ConfigJsonOf(*after), ConfigJsonOf(*before));
    EXPECT_EQ(*(*written)->GetStrings("tokenizer.ggml.tokens"), *original_->GetStrings("tokenizer.ggml.tokens"));
    EXPECT_EQ(*(*written)->GetInts("tokenizer.ggml.token_type"), *original_->GetInts("tokenizer.ggml.token_type"));
    for (const char* key : {"bos", "eos", "unknown"}) {
      const std::string id = fmt::format("tokenizer.ggml.{}_token_id", key);
      EXPECT_EQ(*(*written)->GetUint(id), *original_->GetUint(id)) << key;
    }
  }
}

TEST_F(ModelFolderTest, KeepsTheTypeOfMatricesAndNotOfVectors) {
  GgufWriter halves;
  const auto file = GgufFile::FromBytes(TinyLlama{}.ToBytes());
  for (const auto& [key, value] : (*file)->values()) halves.AddValue(key, value);
  for (const GgufTensor& tensor : (*file)->tensors()) {
    halves.AddTensor(tensor.name, TensorType::kF16, tensor.shape, Bytes(tensor.rows * tensor.columns * 2, 0x3c));
  }
  WriteHuggingFaceFolder(**GgufFile::FromBytes(halves.Finish()), folder_.path());
  const auto folder = ModelFolder::Open(folder_.path());
  ASSERT_THAT(folder, IsOk());
  ASSERT_THAT(folder->WriteGguf(File("out.gguf")), IsOk());
  const auto written = GgufFile::Open(File("out.gguf"));
  EXPECT_EQ((*written)->FindTensor("blk.0.attn_k.weight")->type, TensorType::kF16);
  const GgufTensor& norm = *(*written)->FindTensor("output_norm.weight");
  ASSERT_EQ(norm.type, TensorType::kF32);
  float first = 0;
  std::memcpy(&first, norm.data.data(), sizeof(first));
  EXPECT_EQ(first, 1.05859375f);  // 0x3c3c in F16
}

TEST_F(ModelFolderTest, AChatTemplateOfItsOwnWins) {
  ASSERT_THAT(OpenFolderOf({}), IsOk());
  EXPECT_THAT(WithChanged("tokenizer_config.json", [](json& config) { config["chat_template"] = "old"; }), IsOk());
  WriteTestFile(File("chat_template.jinja"), AsBytes("{{ new }}"));
  const auto folder = ModelFolder::Open(folder_.path());
  ASSERT_THAT(folder->WriteGguf(File("out.gguf")), IsOk());
  EXPECT_EQ(*(*GgufFile::Open(File("out.gguf")))->GetString("tokenizer.chat_template"), "{{ new }}");
}

TEST_F(ModelFolderTest, EachFileMustBeThereAndWhole) {
  ASSERT_THAT(OpenFolderOf({}), IsOk());
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors", "tokenizer_config.json"}) {
    const Bytes whole = ReadBytes(name);
    std::filesystem::remove(File(name));
    if (std::string_view(name) == "tokenizer_config.json") {
      EXPECT_THAT(ModelFolder::Open(folder_.path()), IsOk());
    } else {
      EXPECT_THAT(ModelFolder::Open(folder_.path()), HasStatus(StatusCode::kNotFound, name));
    }
    // The last bytes of JSON and of weights, and some within.
    for (size_t cut = 1; cut < whole.size(); cut += 1 + whole.size() / 100) {
      WriteTestFile(File(name), std::span(whole).first(cut));
      const absl::Status status = ModelFolder::Open(folder_.path()).status();
      EXPECT_TRUE(absl::IsInvalidArgument(status) || absl::IsDataLoss(status)) << status;
      EXPECT_NE(status.message().find(name), std::string::npos) << status;
    }
    WriteTestFile(File(name), whole);
  }
  EXPECT_THAT(ModelFolder::Open(folder_.path()), IsOk());
  EXPECT_THAT(ModelFolder::Open(File("nothing")), HasStatus(StatusCode::kNotFound, "config.json"));
}

TEST_F(ModelFolderTest, WeightsMustFitTheConfiguration) {
  ASSERT_THAT(OpenFolderOf({}), IsOk());
  EXPECT_THAT(WithChanged("config.json", [](json& config) { config["intermediate_size"] = 13; }),
              HasStatus(StatusCode::kInvalidArgument,
                        "model.layers.0.mlp.gate_proj.weight: expected 13 x 8 by config.json, got 12 x 8"));
  EXPECT_THAT(WithChanged("config.json", [](json& config) { config["num_hidden_layers"] = 3; }),
              HasStatus(StatusCode::kInvalidArgument, "tensor model.layers.2.input_layernorm.weight is missing"));
  EXPECT_THAT(WithChanged("config.json", [](json& config) { config["num_hidden_layers"] = 1; }),
              HasStatus(StatusCode::kInvalidArgument, "is not supported"));
  EXPECT_THAT(WithChanged("config.json", [](json& config) { config["tie_word_embeddings"] = false; }),
              HasStatus(StatusCode::kInvalidArgument, "tensor lm_head.weight is missing"));
  // Rows of q and k that are no multiple of a head.
  EXPECT_THAT(WithChanged("config.json", [](json& config) { config["head_dim"] = 6; }),
              HasStatus(StatusCode::kInvalidArgument, "q_proj.weight: expected 12 x 8 by config.json"));
  EXPECT_THAT(WithChanged("tokenizer.json", [](json& tokenizer) { tokenizer["model"]["vocab"]["more"] = 259; }),
              HasStatus(StatusCode::kInvalidArgument, "a row of the embedding"));
  EXPECT_THAT(WithChanged("tokenizer.json", [](json& tokenizer) { tokenizer["model"]["vocab"].erase("<0x41>"); }),
              IsOk());  // the unknown token serves
}

TEST_F(ModelFolderTest, SaysBeforeItWritesWhatTheReaderOfGgufWouldRefuse) {
  ASSERT_THAT(OpenFolderOf({}), IsOk());
  EXPECT_THAT(WithChanged("tokenizer.json",
                          [](json& tokenizer) {
                            tokenizer["model"]["vocab"].erase("<0x41>");
                            tokenizer["model"]["vocab"][std::string(5000, 'x')] = 3 + 0x41;
                          }),
              HasStatus(StatusCode::kResourceExhausted, "at most 4096 are allowed"));
}

}  // namespace
}  // namespace fleetune
