#include "inference/safetensors/safetensors.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::ElementsAre;

Bytes FileOf(const std::string& header, size_t data_bytes) {
  ByteWriter out;
  out.Write<uint64_t>(header.size());
  out.WriteBytes(AsBytes(header));
  for (size_t i = 0; i < data_bytes; ++i) out.Write(static_cast<uint8_t>(i));
  return out.Take();
}

absl::Status StatusOf(const std::string& header, size_t data_bytes) {
  return SafetensorsFile::Parse(FileOf(header, data_bytes)).status();
}

TEST(SafetensorsTest, ReadsWhatItWrites) {
  const std::vector<FloatTensor> tensors = {{.name = "b", .shape = {2, 3}, .values = {1, 2, 3, 4, 5, -0.0f}},
                                            {.name = "a", .shape = {}, .values = {7}},
                                            {.name = "none", .shape = {0, 4}, .values = {}}};
  const Bytes bytes = SerializeSafetensors(tensors);
  const auto file = SafetensorsFile::Parse(bytes);
  ASSERT_THAT(file, IsOk());
  ASSERT_EQ(file->tensors().size(), 3u);
  for (const FloatTensor& tensor : tensors) {
    const SafetensorsTensor* read = file->Find(tensor.name);
    ASSERT_NE(read, nullptr);
    EXPECT_EQ(read->shape, tensor.shape);
    EXPECT_EQ(read->type, SafetensorsType::kF32);
    EXPECT_EQ(ToFloats(*read), tensor.values);
  }
  EXPECT_EQ(file->tensors()[0].name, "b");
  EXPECT_EQ(file->Find("c"), nullptr);
  EXPECT_EQ((bytes.size() - 7 * sizeof(float)) % 8, 0u);
}

TEST(SafetensorsTest, ReadsHalvesAndBfloats) {
  const Bytes bytes = [] {
    Bytes file = FileOf(R"({"h":{"dtype":"F16","shape":[2],"data_offsets":[4,8]},)"
                        R"("f":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}   )",
                        0);
    for (const int byte : {0x80, 0x3f, 0x00, 0xc0, 0x00, 0x3c, 0x00, 0xc0}) {
      file.push_back(static_cast<uint8_t>(byte));
    }
    return file;
  }();
  const auto file = SafetensorsFile::Parse(bytes);
  ASSERT_THAT(file, IsOk());
  EXPECT_THAT(ToFloats(*file->Find("f")), ElementsAre(1.0f, -2.0f));
  EXPECT_THAT(ToFloats(*file->Find("h")), ElementsAre(1.0f, -2.0f));
}

TEST(SafetensorsTest, EveryTruncationIsRefused) {
  const Bytes bytes = SerializeSafetensors(std::vector<FloatTensor>{{.name = "x", .shape = {2}, .values = {1, 2}},
                                                                    {.name = "y", .shape = {1}, .values = {3}}});
  for (size_t size = 0; size < bytes.size(); ++size) {
    const Bytes part(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_THAT(SafetensorsFile::Parse(part), HasStatus(StatusCode::kDataLoss, "cut off")) << size;
  }
  Bytes longer = bytes;
  longer.push_back(0);
  EXPECT_THAT(SafetensorsFile::Parse(longer), HasStatus(StatusCode::kDataLoss, "1 bytes follow"));
}

TEST(SafetensorsTest, HeaderSizeIsLimited) {
  ByteWriter out;
  out.Write<uint64_t>(kMaxSafetensorsHeaderBytes + 1);
  EXPECT_THAT(SafetensorsFile::Parse(out.bytes()), HasStatus(StatusCode::kResourceExhausted, "at most"));
  out = {};
  out.Write<uint64_t>(kMaxSafetensorsHeaderBytes);
  EXPECT_THAT(SafetensorsFile::Parse(out.bytes()), HasStatus(StatusCode::kDataLoss, "cut off"));
  EXPECT_THAT(SafetensorsFile::Parse(FileOf("{}", 0)), IsOk());
}

TEST(SafetensorsTest, RefusesHeadersThatAreNone) {
  for (const char* header : {"", " {}", "[]", "{", "{\"a\":1}", "{}x", "{\"a\":{}}", "null"}) {
    EXPECT_THAT(StatusOf(header, 0), HasStatus(StatusCode::kInvalidArgument, "")) << header;
  }
  const std::string deep = "{\"a\":" + std::string(100'000, '[');
  EXPECT_THAT(StatusOf(deep, 0), HasStatus(StatusCode::kInvalidArgument, "no JSON object"));
}

TEST(SafetensorsTest, RefusesTensorsThatContradictThemselves) {
  const auto tensor = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "{\"t\":{\"dtype\":" + dtype + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}";
  };
  EXPECT_THAT(StatusOf(tensor("\"F32\"", "[2]", "[0,8]"), 8), IsOk());
  EXPECT_THAT(StatusOf(tensor("\"I8\"", "[8]", "[0,8]"), 8), HasStatus(StatusCode::kInvalidArgument, "\"I8\""));
  EXPECT_THAT(StatusOf(tensor("8", "[8]", "[0,8]"), 8), HasStatus(StatusCode::kInvalidArgument, "dtype"));
  for (const char* shape : {"2", "[-2]", "[2.0]", "[\"2\"]", "[1,1,1,1,1,1,1,1,2]"}) {
    EXPECT_THAT(StatusOf(tensor("\"F32\"", shape, "[0,8]"), 8), HasStatus(StatusCode::kInvalidArgument, "shape"));
  }
  EXPECT_THAT(StatusOf(tensor("\"F32\"", "[1,1,1,1,1,1,1,2]", "[0,8]"), 8), IsOk());
  for (const char* offsets : {"[0]", "[0,4,8]", "8", "[-8,0]"}) {
    EXPECT_THAT(StatusOf(tensor("\"F32\"", "[2]", offsets), 8),
                HasStatus(StatusCode::kInvalidArgument, "data_offsets"));
  }
  for (const char* offsets : {"[8,0]", "[0,4]", "[0,18446744073709551615]"}) {
    EXPECT_THAT(StatusOf(tensor("\"F32\"", "[2]", offsets), 8), HasStatus(StatusCode::kDataLoss, "shape"));
  }
  // 2^62 * 4 bytes would wrap around to 0.
  EXPECT_THAT(StatusOf(tensor("\"F32\"", "[4611686018427387904]", "[0,0]"), 0),
              HasStatus(StatusCode::kDataLoss, "shape"));
  EXPECT_THAT(StatusOf(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1}})", 8),
              HasStatus(StatusCode::kInvalidArgument, "only"));
}

TEST(SafetensorsTest, RefusesHolesOverlapsAndRepeatedNames) {
  const auto two = [](const char* second, const char* offsets) {
    return std::string(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},")") + second +
           R"(":{"dtype":"F32","shape":[1],"data_offsets":)" + offsets + "}}";
  };
  EXPECT_THAT(StatusOf(two("b", "[8,12]"), 12), IsOk());
  EXPECT_THAT(StatusOf(two("b", "[12,16]"), 16), HasStatus(StatusCode::kDataLoss, "begins at byte 12, expected 8"));
  EXPECT_THAT(StatusOf(two("b", "[4,8]"), 8), HasStatus(StatusCode::kDataLoss, "begins at byte 4"));
  EXPECT_THAT(StatusOf(two("a", "[8,12]"), 12), HasStatus(StatusCode::kInvalidArgument, "twice"));
  EXPECT_THAT(StatusOf(two("b", "[8,12]"), 11), HasStatus(StatusCode::kDataLoss, "cut off"));
}

}  // namespace
}  // namespace fleetune
