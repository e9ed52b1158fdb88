// Files that other programs wrote, over a real model's sizes.

#include <algorithm>
#include <string>

#include "base/files.h"
#include "gtest/gtest.h"
#include "inference/safetensors/safetensors.h"
#include "lora/formats/adapter_file.h"
#include "lora/formats/peft_adapter.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

// The adapter that an independent implementation made, over a real model's sizes.
TEST(GoldenAdapterTest, PeftAdapterComesBackBitByBit) {
  const std::string folder = std::string(FLEETUNE_TEST_DATA) + "/golden/peft-adapter";
  AdapterBase base{.sizes = {.layers = 5}, .architecture = "llama", .heads = 8, .kv_heads = 4, .permuted_qk = true};
  const ProjectionSizes sizes[kNumProjections] = {{64, 64}, {64, 32}, {64, 32}, {64, 64}, {64, 172}, {64, 172}, {172, 64}};
  std::ranges::copy(sizes, base.sizes.projections.begin());
  const auto adapter = LoadAdapter(folder, base);
  ASSERT_THAT(adapter, IsOk());
  EXPECT_EQ(adapter->spec().rank(), 4u);
  EXPECT_EQ(adapter->spec().scale(), 2.0f);

  const auto written = WritePeftAdapter(*adapter, base, "stories260K");
  ASSERT_THAT(written, IsOk());
  const auto original = ReadFile(folder + "/" + kPeftTensorsName, 1 << 20);
  ASSERT_THAT(original, IsOk());
  const auto before = SafetensorsFile::Parse(*original);
  const auto after = SafetensorsFile::Parse(written->tensors);
  ASSERT_THAT(before, IsOk());
  ASSERT_THAT(after, IsOk());
  ASSERT_EQ(before->tensors().size(), after->tensors().size());
  for (const SafetensorsTensor& tensor : before->tensors()) {
    const SafetensorsTensor* same = after->Find(tensor.name);
    ASSERT_NE(same, nullptr) << tensor.name;
    EXPECT_EQ(same->shape, tensor.shape);
    EXPECT_TRUE(std::ranges::equal(same->data, tensor.data)) << tensor.name;
  }

  // Row 1 of the first head of Hugging Face's q is row 2 here: heads of 8 rows, halves of 4.
  const SafetensorsTensor* q = before->Find("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight");
  ASSERT_NE(q, nullptr);
  const std::span<const float> b = adapter->b(*adapter->spec().Find(0, Projection::kQ));
  EXPECT_EQ(b[2], ToFloats(*q)[1 * 4 + 0]);
  EXPECT_EQ(b[1], ToFloats(*q)[4 * 4 + 0]);
}

TEST(GoldenAdapterTest, ReadsTheTrainingFiles) {
  const std::string path = std::string(FLEETUNE_TEST_DATA) + "/golden/train-qv-r4-init.safetensors";
  const auto bytes = ReadFile(path, 1 << 20);
  ASSERT_THAT(bytes, IsOk());
  const auto file = SafetensorsFile::Parse(*bytes);
  ASSERT_THAT(file, IsOk());
  const SafetensorsTensor* a = file->Find("blk.0.attn_q.weight.lora_a");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(ToFloats(*a).size(), 4u * 64);
}

}  // namespace
}  // namespace fleetune
