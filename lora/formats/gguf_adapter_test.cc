#include "lora/formats/gguf_adapter.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/gguf_writer.h"
#include "inference/gguf/llama_shape.h"
#include "tests/support/small_adapter.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

class GgufAdapterTest : public testing::Test {
 protected:
  // A GGUF adapter of q alone, in `type`, which a test may change before it is read.
  struct Options {
    std::string type = "adapter";
    std::string adapter_type = "lora";
    std::string architecture = "llama";
    std::string extra_key = {};
    std::string tensor = "blk.0.attn_q.weight.lora_a";
    TensorType tensor_type = TensorType::kF32;
    std::vector<uint64_t> shape = {2, 1};
    float alpha = 2;
    uint32_t layers = 1;
  };
  static absl::StatusOr<std::vector<LoraPair>> Read(const Options& options) {
    AdapterBase base{.sizes = {.layers = options.layers}, .architecture = "llama", .heads = 1, .kv_heads = 1, .permuted_qk = true};
    base.sizes.projections[0] = {.in = 2, .out = 2};
    GgufWriter writer;
    writer.AddString("general.type", options.type);
    writer.AddString("general.architecture", options.architecture);
    writer.AddString("adapter.type", options.adapter_type);
    writer.AddFloat("adapter.lora.alpha", options.alpha);
    if (!options.extra_key.empty()) writer.AddUint32(options.extra_key, 1);
    uint64_t elements = 1;
    for (const uint64_t axis : options.shape) elements *= axis;
    const size_t bytes = elements / BlockElements(options.tensor_type) * BlockBytes(options.tensor_type);
    writer.AddTensor(options.tensor, options.tensor_type, options.shape, Bytes(bytes));
    writer.AddTensor("blk.0.attn_q.weight.lora_b", TensorType::kBF16, {1, 2}, {0x80, 0x3f, 0x00, 0x40});
    const auto file = GgufFile::FromBytes(writer.Finish());
    EXPECT_THAT(file, IsOk());
    if (!file.ok()) return file.status();
    return ReadGgufAdapter(**file, base);
  }
};

TEST_F(GgufAdapterTest, ReadsHalvesWithoutReordering) {
  const auto pairs = Read({.tensor_type = TensorType::kF16});
  ASSERT_THAT(pairs, IsOk());
  ASSERT_EQ(pairs->size(), 1u);
  EXPECT_THAT(pairs->front().b, testing::ElementsAre(1.0f, 2.0f));
  EXPECT_EQ(pairs->front().scale(), 2.0);
}

TEST_F(GgufAdapterTest, AnAlphaOfZeroIsAScaleOfOne) {
  const auto pairs = Read({.alpha = 0});
  ASSERT_THAT(pairs, IsOk());
  EXPECT_EQ(pairs->front().scale(), 1.0);
}

TEST_F(GgufAdapterTest, RanksMayDifferFromModuleToModule) {
  const AdapterBase base = SmallBase();
  GgufWriter writer;
  writer.AddString("general.type", "adapter");
  writer.AddString("general.architecture", "llama");
  writer.AddString("adapter.type", "lora");
  writer.AddFloat("adapter.lora.alpha", 6);
  for (uint32_t layer = 0; layer < 2; ++layer) {
    const uint64_t rank = layer + 1;
    const std::string name = BlockTensorName(layer, "attn_q");
    writer.AddTensor(name + ".lora_a", TensorType::kF32, {6, rank}, Bytes(6 * rank * 4));
    writer.AddTensor(name + ".lora_b", TensorType::kF32, {rank, 8}, Bytes(8 * rank * 4));
  }
  const auto file = GgufFile::FromBytes(writer.Finish());
  ASSERT_THAT(file, IsOk());
  const auto pairs = ReadGgufAdapter(**file, base);
  ASSERT_THAT(pairs, IsOk());
  EXPECT_EQ(pairs->at(0).scale(), 6.0);
  EXPECT_EQ(pairs->at(1).scale(), 3.0);
}

TEST_F(GgufAdapterTest, EveryTruncationIsRefused) {
  const AdapterBase base = SmallBase();
  const Bytes whole = WriteGgufAdapter(RandomAdapter(base), base, "a base");
  // The last tensor has 72 bytes, and 24 of padding that files may lack.
  for (size_t size = 0; size < whole.size() - 24; ++size) {
    const auto file = GgufFile::FromBytes(std::span(whole).first(size));
    EXPECT_FALSE(file.ok() && ReadGgufAdapter(**file, base).ok()) << size;
  }
}

TEST_F(GgufAdapterTest, RefusesByName) {
  EXPECT_THAT(Read({}), IsOk());
  EXPECT_THAT(Read({.extra_key = "general.author"}), IsOk());
  EXPECT_THAT(Read({.type = "model"}), HasStatus(StatusCode::kInvalidArgument, "expected adapter, got model"));
  EXPECT_THAT(Read({.adapter_type = "control"}), HasStatus(StatusCode::kInvalidArgument, "expected lora"));
  EXPECT_THAT(Read({.architecture = "gemma"}), HasStatus(StatusCode::kInvalidArgument, "expected llama, got gemma"));
  EXPECT_THAT(Read({.extra_key = "adapter.alora.invocation_tokens"}),
              HasStatus(StatusCode::kInvalidArgument, "adapter.alora.invocation_tokens"));
  EXPECT_THAT(Read({.tensor = "token_embd.weight.lora_a"}),
              HasStatus(StatusCode::kInvalidArgument, "token_embd.weight.lora_a"));
  EXPECT_THAT(Read({.tensor = "blk.00.attn_q.weight.lora_a"}), HasStatus(StatusCode::kInvalidArgument, "blk.00"));
  EXPECT_THAT(Read({.tensor_type = TensorType::kQ8_0, .shape = {32, 1}}),
              HasStatus(StatusCode::kInvalidArgument, "Q8_0"));
  EXPECT_THAT(Read({.shape = {2}}), HasStatus(StatusCode::kInvalidArgument, "2 axes"));
  EXPECT_THAT(Read({.shape = {3, 1}}), HasStatus(StatusCode::kInvalidArgument, "expected 1 x 2, got 1 x 3"));
  EXPECT_THAT(Read({.layers = 2}), HasStatus(StatusCode::kInvalidArgument, "attn_q is there in 1 layers, expected in all 2"));
  EXPECT_THAT(Read({.shape = {2, 300}}), HasStatus(StatusCode::kInvalidArgument, "rank of at most 256"));
}

}  // namespace
}  // namespace fleetune
