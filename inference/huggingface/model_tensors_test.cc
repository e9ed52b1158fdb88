#include "inference/huggingface/model_tensors.h"

#include <algorithm>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

TEST(ModelTensorsTest, AreThoseThatTheGgufReaderExpects) {
  for (const TinyLlama& model :
       {TinyLlama{}, TinyLlama{.tied_output = false}, TinyLlama{.architecture = "qwen2", .qkv_bias = true}}) {
    const auto file = GgufFile::FromBytes(model.ToBytes());
    const auto shape = ReadLlamaShape(**file);
    ASSERT_THAT(shape, IsOk());
    std::set<std::string> names;
    for (const ModelTensor& tensor : TensorsOf(*shape)) {
      EXPECT_TRUE(names.insert(tensor.gguf_name).second);
      const GgufTensor* stored = (*file)->FindTensor(tensor.gguf_name);
      ASSERT_NE(stored, nullptr) << tensor.gguf_name;
      EXPECT_EQ(stored->rows, tensor.rows) << tensor.name;
      EXPECT_EQ(stored->columns, tensor.columns) << tensor.name;
      EXPECT_EQ(stored->shape.size() == 1, tensor.is_vector) << tensor.name;
    }
    EXPECT_EQ(names.size(), (*file)->tensors().size());
  }
}

TEST(ModelTensorsTest, RowsOfQAndKAreInterleavedWithinTheirHeads) {
  const LlamaShape llama{.architecture = "llama",
                         .vocabulary = 9,
                         .context = 1,
                         .width = 12,
                         .layers = 1,
                         .heads = 3,
                         .kv_heads = 1,
                         .head_size = 4,
                         .feed_forward = 2};
  const auto rows_of = [](const LlamaShape& shape, const char* name) {
    const std::vector<ModelTensor> tensors = TensorsOf(shape);
    const auto tensor = std::ranges::find(tensors, std::string(name), &ModelTensor::gguf_name);
    std::vector<uint64_t> rows;
    for (uint64_t row = 0; row < tensor->rows; ++row) rows.push_back(SourceRow(*tensor, row));
    return rows;
  };
  using testing::ElementsAre;
  EXPECT_THAT(rows_of(llama, "blk.0.attn_q.weight"), ElementsAre(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11));
  EXPECT_THAT(rows_of(llama, "blk.0.attn_k.weight"), ElementsAre(0, 2, 1, 3));
  EXPECT_THAT(rows_of(llama, "blk.0.attn_v.weight"), ElementsAre(0, 1, 2, 3));
  LlamaShape qwen = llama;
  qwen.rope_pairing = RopePairing::kHalves;
  EXPECT_THAT(rows_of(qwen, "blk.0.attn_k.weight"), ElementsAre(0, 1, 2, 3));
}

TEST(ModelTensorsTest, SomeTensorsMayStandBeside) {
  LlamaShape tied;
  tied.tied_output = true;
  EXPECT_TRUE(IsSuperfluous("lm_head.weight", tied));
  EXPECT_FALSE(IsSuperfluous("lm_head.weight", {}));
  EXPECT_TRUE(IsSuperfluous("model.layers.0.self_attn.rotary_emb.inv_freq", {}));
  EXPECT_FALSE(IsSuperfluous("model.layers.0.self_attn.q_norm.weight", tied));
}

}  // namespace
}  // namespace fleetune
