#include "inference/gguf/gguf_writer.h"

#include "base/status_macros.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

TEST(GgufWriter, WhatIsReadIsWrittenAgainByteForByte) {
  const Bytes original = TinyLlama{.architecture = "qwen2", .qkv_bias = true, .tied_output = false}.ToBytes();
  const auto file = GgufFile::FromBytes(original);
  ASSERT_THAT(file, IsOk());
  GgufWriter writer;
  for (const auto& [key, value] : (*file)->values()) writer.AddValue(key, value);
  for (const GgufTensor& tensor : (*file)->tensors()) {
    writer.AddTensor(tensor.name, tensor.type, tensor.shape, Bytes(tensor.data.begin(), tensor.data.end()));
  }
  EXPECT_EQ(writer.Finish(), original);
}

TEST(GgufWriter, KeepsEveryValueType) {
  GgufWriter writer;
  writer.AddValue("u8", uint8_t{200});
  writer.AddValue("i8", int8_t{-100});
  writer.AddValue("u16", uint16_t{60000});
  writer.AddValue("i16", int16_t{-30000});
  writer.AddUint32("u32", 4'000'000'000u);
  writer.AddValue("i32", int32_t{-5});
  writer.AddUint64("u64", 1ull << 63);
  writer.AddValue("i64", int64_t{-6});
  writer.AddFloat("f32", 1.5f);
  writer.AddValue("f64", 2.5);
  writer.AddBool("bool", false);
  writer.AddString("text", "T\u00e9xt");
  const auto file = GgufFile::FromBytes(writer.Finish());
  ASSERT_THAT(file, IsOk());
  const auto held = [&](const char* key) { return *(*file)->FindValue(key); };
  EXPECT_EQ(std::get<uint8_t>(held("u8")), 200);
  EXPECT_EQ(std::get<int8_t>(held("i8")), -100);
  EXPECT_EQ(std::get<uint16_t>(held("u16")), 60000);
  EXPECT_EQ(std::get<int16_t>(held("i16")), -30000);
  EXPECT_EQ(std::get<uint32_t>(held("u32")), 4'000'000'000u);
  EXPECT_EQ(std::get<int32_t>(held("i32")), -5);
  EXPECT_EQ(std::get<uint64_t>(held("u64")), 1ull << 63);
  EXPECT_EQ(std::get<int64_t>(held("i64")), -6);
  EXPECT_EQ(std::get<float>(held("f32")), 1.5f);
  EXPECT_EQ(std::get<double>(held("f64")), 2.5);
  EXPECT_EQ(std::get<bool>(held("bool")), false);
  EXPECT_EQ(std::get<std::string_view>(held("text")), "T\u00e9xt");
}

TEST(GgufWriter, PadsTensorsThatAreNoMultipleOfTheAlignment) {
  GgufWriter writer;
  writer.AddTensor("a", TensorType::kF32, {1}, Bytes(4, 1));
  writer.AddTensor("b", TensorType::kQ8_0, {32, 3}, Bytes(102, 2));
  writer.AddTensor("c", TensorType::kF16, {2, 2, 2}, Bytes(16, 3));
  const auto file = GgufFile::FromBytes(writer.Finish());
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ((*file)->FindTensor("b")->row(2)[33], 2);
  EXPECT_EQ((*file)->FindTensor("c")->rows, 4u);
  EXPECT_EQ((*file)->FindTensor("c")->data[15], 3);
}

TEST(GgufWriter, MakesTensorsWhileItWrites) {
  const TempFolder folder;
  const std::string path = folder.File("model.gguf");
  GgufWriter writer;
  writer.AddTensor("pieces", TensorType::kF32, {3}, [](ByteSink sink) {
    for (uint8_t i = 1; i <= 3; ++i) RETURN_IF_ERROR(sink(Bytes(4, i)));
    return absl::OkStatus();
  });
  writer.AddTensor("held", TensorType::kF16, {1}, Bytes(2, 9));
  ASSERT_THAT(writer.WriteFile(path), IsOk());
  const auto file = GgufFile::Open(path);
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ((*file)->FindTensor("pieces")->data[8], 3);
  EXPECT_EQ((*file)->FindTensor("held")->data[1], 9);

  GgufWriter failing;
  failing.AddTensor("t", TensorType::kF32, {1}, [](ByteSink) { return absl::DataLossError("half of it"); });
  EXPECT_THAT(failing.WriteFile(path), HasStatus(absl::StatusCode::kDataLoss, "half of it"));
  EXPECT_NE((*GgufFile::Open(path))->FindTensor("pieces"), nullptr);  // the file before
}

TEST(GgufWriterDeathTest, ChecksItsCaller) {
  GgufWriter writer;
  writer.AddUint32("k", 1);
  EXPECT_DEATH(writer.AddUint32("k", 2), "CHECK|keys_");
  EXPECT_DEATH(writer.AddTensor("t", TensorType::kF32, {2}, Bytes(7)), "size == ");
  EXPECT_DEATH(writer.AddTensor(std::string(64, 'n'), TensorType::kF32, {1}, Bytes(4)), "kMaxGgufNameBytes");
}

}  // namespace
}  // namespace fleetune
