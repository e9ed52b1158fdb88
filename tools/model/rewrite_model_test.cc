#include "tools/model/rewrite_model.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "inference/gguf/gguf_writer.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

std::shared_ptr<const GgufFile> Open(const Bytes& bytes) {
  auto file = GgufFile::FromBytes(bytes);
  EXPECT_THAT(file, IsOk());
  return *file;
}

// A rewritten model, and what is said of it.
struct Rewritten {
  std::shared_ptr<const GgufFile> file;
  std::vector<RewrittenTensor> tensors;
};

absl::StatusOr<Rewritten> Rewrite(const GgufFile& file, const RewriteOptions& options) {
  const TempFolder folder;
  const std::string path = folder.File("rewritten.gguf");
  absl::StatusOr<std::vector<RewrittenTensor>> tensors = RewriteModel(file, options, path);
  EXPECT_EQ(std::filesystem::exists(path), tensors.ok());
  if (!tensors.ok()) return tensors.status();
  return Rewritten{*GgufFile::Open(path), *std::move(tensors)};
}

TEST(RewriteModel, ChoosesATypeForEachTensor) {
  const auto file = Open(TinyLlama{.width = 32, .feed_forward = 40}.ToBytes());
  const auto rewritten = Rewrite(*file, {.type = TensorType::kQ8_0, .changes = {}});
  ASSERT_THAT(rewritten, IsOk());
  const auto& [quantized, results] = *rewritten;
  EXPECT_EQ(quantized->FindTensor("token_embd.weight")->type, TensorType::kQ8_0);
  EXPECT_EQ(quantized->FindTensor("blk.1.attn_norm.weight")->type, TensorType::kF32);
  EXPECT_EQ(quantized->FindTensor("blk.1.ffn_down.weight")->type, TensorType::kF16);  // rows of 40
  EXPECT_EQ(*quantized->GetUint("general.file_type"), 7u);
  EXPECT_EQ(*quantized->GetString("general.architecture"), "llama");
  ASSERT_EQ(results.size(), file->tensors().size());
  for (const RewrittenTensor& tensor : results) {
    EXPECT_EQ(tensor.bytes, quantized->FindTensor(tensor.name)->data.size()) << tensor.name;
    EXPECT_EQ(tensor.relative_error == 0, tensor.to == TensorType::kF32) << tensor.name;
    EXPECT_LT(tensor.relative_error, 0.01) << tensor.name;
  }
  EXPECT_THAT(ReadLlamaShape(*quantized), IsOk());
}

TEST(RewriteModel, FewerBitsHaveLargerErrors) {
  const auto file = Open(TinyLlama{.width = 32, .feed_forward = 32}.ToBytes());
  double before = 0;
  for (const TensorType type :
       {TensorType::kF16, TensorType::kBF16, TensorType::kQ8_0, TensorType::kQ5_0, TensorType::kQ4_0}) {
    const auto rewritten = Rewrite(*file, {.type = type, .changes = {}});
    ASSERT_THAT(rewritten, IsOk());
    EXPECT_GT(rewritten->tensors[0].relative_error, before) << TensorTypeName(type);
    before = rewritten->tensors[0].relative_error;
  }
  EXPECT_LT(before, 0.12);
}

TEST(RewriteModel, RefusesValuesThatAreNoNumbers) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e30f}) {
    Bytes data(64 * sizeof(float));
    std::memcpy(data.data() + 33 * sizeof(float), &bad, sizeof(bad));
    GgufWriter in;
    in.AddTensor("t", TensorType::kF32, {32, 2}, std::move(data));
    EXPECT_THAT(Rewrite(*Open(in.Finish()), {.type = TensorType::kQ8_0, .changes = {}}),
                HasStatus(absl::StatusCode::kInvalidArgument, "tensor t"));
  }
}

TEST(RewriteModel, WithoutATypeWhatIsNotChangedStaysAsItIs) {
  GgufWriter in;
  in.AddString("general.name", "a model");
  in.AddTensor("kept", TensorType::kQ6_K, {256, 1}, Bytes(210, 7));
  in.AddTensor("norm", TensorType::kF16, {2}, {1, 2, 3, 4});
  in.AddTensor("changed", TensorType::kF16, {2, 2}, Bytes(8));
  const auto file = Open(in.Finish());
  RewriteOptions options;
  options.changes["changed"] = [](uint64_t row, std::span<float> values) {
    values[0] = static_cast<float>(row) + 1;
    return absl::OkStatus();
  };
  const auto result = Rewrite(*file, options);
  ASSERT_THAT(result, IsOk());
  const auto& [rewritten, results] = *result;
  EXPECT_EQ(rewritten->values().size(), 1u);
  for (const char* name : {"kept", "norm"}) {
    EXPECT_EQ(rewritten->FindTensor(name)->type, file->FindTensor(name)->type);
    EXPECT_TRUE(std::ranges::equal(rewritten->FindTensor(name)->data, file->FindTensor(name)->data));
  }
  const std::span<const uint8_t> changed = rewritten->FindTensor("changed")->data;
  EXPECT_THAT(changed, testing::ElementsAre(0x00, 0x3c, 0, 0, 0x00, 0x40, 0, 0));  // 1, 0; 2, 0 in F16
  EXPECT_FALSE(results.at(0).changed);
  EXPECT_TRUE(results.at(2).changed);
}

TEST(RewriteModel, AChangeMayFailOrGiveNoNumber) {
  GgufWriter in;
  in.AddTensor("t", TensorType::kF32, {1, 2}, Bytes(8));
  const auto file = Open(in.Finish());
  RewriteOptions options;
  options.changes["t"] = [](uint64_t row, std::span<float>) {
    return row == 1 ? absl::DataLossError("row 1") : absl::OkStatus();
  };
  EXPECT_THAT(Rewrite(*file, options), HasStatus(absl::StatusCode::kDataLoss, "row 1"));
  options.changes["t"] = [](uint64_t, std::span<float> values) {
    values[0] = std::numeric_limits<float>::infinity();
    return absl::OkStatus();
  };
  EXPECT_THAT(Rewrite(*file, options),
              HasStatus(absl::StatusCode::kInvalidArgument, "element 0 of row 0 is not finite"));
}

TEST(RewriteModel, RowsThatAreNoMultipleOf256BecomeTheNextLargerType) {
  for (const auto& [wanted, columns, expected] :
       {std::tuple{TensorType::kQ4_K, 256u, TensorType::kQ4_K}, {TensorType::kQ4_K, 96u, TensorType::kQ5_0},
        {TensorType::kQ6_K, 96u, TensorType::kQ8_0}, {TensorType::kQ6_K, 40u, TensorType::kF16}}) {
    GgufWriter in;
    in.AddTensor("t", TensorType::kF32, {columns, 2}, Bytes(columns * 2 * sizeof(float)));
    const auto rewritten = Rewrite(*Open(in.Finish()), {.type = wanted, .changes = {}});
    ASSERT_THAT(rewritten, IsOk());
    EXPECT_EQ(rewritten->file->FindTensor("t")->type, expected);
  }
}

}  // namespace
}  // namespace fleetune
