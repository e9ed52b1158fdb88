#include "tools/model/quantize_model.h"

#include <cstring>
#include <limits>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

std::shared_ptr<const GgufFile> Open(const Bytes& bytes) {
  auto file = GgufFile::FromBytes(bytes);
  EXPECT_THAT(file, IsOk());
  return *file;
}

TEST(QuantizeModel, ChoosesATypeForEachTensor) {
  const auto file = Open(TinyLlama{.width = 32, .feed_forward = 40}.ToBytes());
  GgufWriter writer;
  const auto results = QuantizeModel(*file, TensorType::kQ8_0, writer);
  ASSERT_THAT(results, IsOk());
  const auto quantized = Open(writer.Finish());
  EXPECT_EQ(quantized->FindTensor("token_embd.weight")->type, TensorType::kQ8_0);
  EXPECT_EQ(quantized->FindTensor("blk.1.attn_norm.weight")->type, TensorType::kF32);
  EXPECT_EQ(quantized->FindTensor("blk.1.ffn_down.weight")->type, TensorType::kF16);  // rows of 40
  EXPECT_EQ(*quantized->GetUint("general.file_type"), 7u);
  EXPECT_EQ(*quantized->GetString("general.architecture"), "llama");
  ASSERT_EQ(results->size(), file->tensors().size());
  for (const QuantizedTensor& tensor : *results) {
    EXPECT_EQ(tensor.relative_error == 0, tensor.to == TensorType::kF32) << tensor.name;
    EXPECT_LT(tensor.relative_error, 0.01) << tensor.name;
  }
  EXPECT_THAT(ReadLlamaShape(*quantized), IsOk());
}

TEST(QuantizeModel, FewerBitsHaveLargerErrors) {
  const auto file = Open(TinyLlama{.width = 32, .feed_forward = 32}.ToBytes());
  double before = 0;
  for (const TensorType type :
       {TensorType::kF16, TensorType::kBF16, TensorType::kQ8_0, TensorType::kQ5_0, TensorType::kQ4_0}) {
    GgufWriter writer;
    const auto results = QuantizeModel(*file, type, writer);
    ASSERT_THAT(results, IsOk());
    EXPECT_GT((*results)[0].relative_error, before) << TensorTypeName(type);
    before = (*results)[0].relative_error;
  }
  EXPECT_LT(before, 0.12);
}

TEST(QuantizeModel, RefusesValuesThatAreNoNumbers) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e30f}) {
    Bytes data(64 * sizeof(float));
    std::memcpy(data.data() + 33 * sizeof(float), &bad, sizeof(bad));
    GgufWriter in;
    in.AddTensor("t", TensorType::kF32, {32, 2}, std::move(data));
    GgufWriter out;
    EXPECT_THAT(QuantizeModel(*Open(in.Finish()), TensorType::kQ8_0, out),
                HasStatus(absl::StatusCode::kInvalidArgument, "tensor t"));
  }
}

TEST(QuantizeModel, RefusesTypesItCannotRead) {
  GgufWriter in;
  in.AddTensor("t", TensorType::kQ6_K, {256, 1}, Bytes(210));
  GgufWriter out;
  EXPECT_THAT(QuantizeModel(*Open(in.Finish()), TensorType::kQ8_0, out),
              HasStatus(absl::StatusCode::kInvalidArgument, "type Q6_K"));
}

}  // namespace
}  // namespace fleetune
