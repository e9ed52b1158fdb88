#include "inference/gguf/gguf_file.h"

#include <cstring>
#include <functional>
#include <numeric>

#include "base/files.h"
#include "gtest/gtest.h"
#include "inference/gguf/gguf_limits.h"
#include "inference/gguf/gguf_writer.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

using absl::StatusCode;

// A file of one value and one tensor, field by field, so that each can lie.
struct RawFile {
  std::string magic = "GGUF";
  uint32_t version = 3;
  int64_t num_tensors = 1;
  int64_t num_values = 1;
  std::string key = "k";
  uint32_t value_type = 4;
  Bytes value = {7, 0, 0, 0};
  uint64_t name_size = 1;
  std::string name = "t";
  uint32_t axes = 2;
  std::vector<int64_t> lengths = {4, 2};
  uint32_t type = 0;
  uint64_t offset = 0;
  size_t data_bytes = 32;
  int repeats = 1;  // of the value and the tensor

  Bytes ToBytes() const {
    ByteWriter out;
    out.WriteBytes(AsBytes(magic));
    out.Write(version);
    out.Write(num_tensors);
    out.Write(num_values);
    for (int i = 0; i < repeats; ++i) {
      out.Write<uint64_t>(key.size());
      out.WriteBytes(AsBytes(key));
      out.Write(value_type);
      out.WriteBytes(value);
    }
    for (int i = 0; i < repeats; ++i) {
      out.Write(name_size);
      out.WriteBytes(AsBytes(name));
      out.Write(axes);
      for (const int64_t length : lengths) out.Write(length);
      out.Write(type);
      out.Write(offset);
    }
    while (out.bytes().size() % 32 != 0) out.Write<uint8_t>(0);
    for (size_t i = 0; i < data_bytes; ++i) out.Write(static_cast<uint8_t>(i));
    return out.Take();
  }
};

absl::Status StatusOfRaw(const std::function<void(RawFile&)>& lie) {
  RawFile raw;
  lie(raw);
  return GgufFile::FromBytes(raw.ToBytes()).status();
}

// The bytes of a value's array: element type, count, content.
Bytes ArrayBytes(uint32_t element_type, uint64_t count, size_t content) {
  ByteWriter out;
  out.Write(element_type);
  out.Write(count);
  for (size_t i = 0; i < content; ++i) out.Write<uint8_t>(0);
  return out.Take();
}

TEST(GgufFile, ReadsAHonestFile) {
  for (const uint32_t version : {2u, 3u}) {
    RawFile raw;
    raw.version = version;
    const auto file = GgufFile::FromBytes(raw.ToBytes());
    ASSERT_THAT(file, IsOk());
    EXPECT_EQ((*file)->version(), version);
    EXPECT_EQ(*(*file)->GetUint("k"), 7u);
    ASSERT_EQ((*file)->tensors().size(), 1u);
    const GgufTensor* tensor = (*file)->FindTensor("t");
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->columns, 4u);
    EXPECT_EQ(tensor->rows, 2u);
    EXPECT_EQ(tensor->row_bytes, 16u);
    EXPECT_EQ(tensor->row(1)[0], 16);
    EXPECT_EQ((*file)->FindTensor("u"), nullptr);
    EXPECT_EQ((*file)->FindValue("u"), nullptr);
  }
}

TEST(GgufFile, RefusesWhatIsNotGguf) {
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.magic = "GGML"; }),
              HasStatus(StatusCode::kInvalidArgument, "not a GGUF"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.version = 1; }),
              HasStatus(StatusCode::kInvalidArgument, "version 1"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.version = 4; }),
              HasStatus(StatusCode::kInvalidArgument, "version 4"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.version = 3u << 24; }),
              HasStatus(StatusCode::kInvalidArgument, "big-endian"));
  EXPECT_THAT(GgufFile::FromBytes({}), HasStatus(StatusCode::kDataLoss, "cut off"));
  EXPECT_THAT(GgufFile::Open("/nonexistent/model.gguf"),
              HasStatus(StatusCode::kNotFound, "/nonexistent/model.gguf"));
}

TEST(GgufFile, RefusesCountsThatLie) {
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.num_tensors = -1; }),
              HasStatus(StatusCode::kDataLoss, "negative"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.num_values = INT64_MIN; }),
              HasStatus(StatusCode::kDataLoss, "negative"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.num_tensors = kMaxGgufTensors; }),
              HasStatus(StatusCode::kDataLoss, "tensors, but only"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.num_tensors = kMaxGgufTensors + 1; }),
              HasStatus(StatusCode::kResourceExhausted, "at most"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.num_values = kMaxGgufValues, raw.num_tensors = 0; }),
              HasStatus(StatusCode::kResourceExhausted, "a string of"));  // what follows is no key
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.num_values = kMaxGgufValues + 1; }),
              HasStatus(StatusCode::kResourceExhausted, "at most"));
}

TEST(GgufFile, RefusesValuesThatLie) {
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.value_type = 13; }),
              HasStatus(StatusCode::kDataLoss, "value type 13"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.value_type = 7, raw.value = {2}; }),
              HasStatus(StatusCode::kDataLoss, "a bool of 2"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.key = ""; }),
              HasStatus(StatusCode::kDataLoss, "empty metadata key"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.num_values = raw.num_tensors = raw.repeats = 2; }),
              HasStatus(StatusCode::kDataLoss, "metadata key k appears twice"));
  const auto array = [](Bytes bytes) {
    return StatusOfRaw([&bytes](RawFile& raw) { raw.value_type = 9, raw.value = bytes; });
  };
  EXPECT_THAT(array(ArrayBytes(4, 2, 8)), IsOk());
  EXPECT_THAT(array(ArrayBytes(8, 1, 8)), IsOk());
  EXPECT_THAT(array(ArrayBytes(9, 1, 100)), HasStatus(StatusCode::kDataLoss, "array of value type 9"));
  EXPECT_THAT(array(ArrayBytes(13, 0, 0)), HasStatus(StatusCode::kDataLoss, "array of value type 13"));
  EXPECT_THAT(array(ArrayBytes(4, kMaxGgufArrayElements, 8)), HasStatus(StatusCode::kDataLoss, "cut off"));
  EXPECT_THAT(array(ArrayBytes(8, kMaxGgufArrayElements, 8)), HasStatus(StatusCode::kDataLoss, "strings"));
  EXPECT_THAT(array(ArrayBytes(0, kMaxGgufArrayElements + 1, 8)),
              HasStatus(StatusCode::kResourceExhausted, "at most"));
  EXPECT_THAT(array(ArrayBytes(10, UINT64_MAX, 8)), HasStatus(StatusCode::kResourceExhausted, "at most"));
  const auto string_of = [](uint64_t size) {
    ByteWriter out;
    out.Write(size);
    return StatusOfRaw([&out](RawFile& raw) { raw.value_type = 8, raw.value = out.bytes(); });
  };
  EXPECT_THAT(string_of(0), IsOk());
  EXPECT_THAT(string_of(kMaxGgufStringBytes), HasStatus(StatusCode::kDataLoss, "cut off"));
  EXPECT_THAT(string_of(kMaxGgufStringBytes + 1), HasStatus(StatusCode::kResourceExhausted, "a string of"));
  EXPECT_THAT(string_of(UINT64_MAX), HasStatus(StatusCode::kResourceExhausted, "a string of"));
}

TEST(GgufFile, RefusesTensorsThatLie) {
  const auto named = [](size_t size) {
    return StatusOfRaw([size](RawFile& raw) { raw.name = std::string(size, 'n'), raw.name_size = size; });
  };
  EXPECT_THAT(named(63), IsOk());
  EXPECT_THAT(named(64), HasStatus(StatusCode::kDataLoss, "tensor name of 64 bytes"));
  EXPECT_THAT(named(0), HasStatus(StatusCode::kDataLoss, "tensor name of 0 bytes"));
  const auto shaped = [](std::vector<int64_t> lengths) {
    return StatusOfRaw(
        [&](RawFile& raw) { raw.lengths = lengths, raw.axes = static_cast<uint32_t>(lengths.size()); });
  };
  EXPECT_THAT(shaped({2, 2, 2, 1}), IsOk());
  EXPECT_THAT(shaped({2, 2, 2, 1, 1}), HasStatus(StatusCode::kDataLoss, "5 axes"));
  EXPECT_THAT(shaped({}), HasStatus(StatusCode::kDataLoss, "0 axes"));
  EXPECT_THAT(shaped({0, 4}), HasStatus(StatusCode::kDataLoss, "axis 0 has length 0"));
  EXPECT_THAT(shaped({4, -1}), HasStatus(StatusCode::kDataLoss, "axis 1 has length -1"));
  EXPECT_THAT(shaped({INT64_MAX, 2}), HasStatus(StatusCode::kDataLoss, "overflows"));
  EXPECT_THAT(shaped({1ll << 40, 1ll << 40}), HasStatus(StatusCode::kDataLoss, "overflows"));
  EXPECT_THAT(shaped({9, 1}), HasStatus(StatusCode::kDataLoss, "needs 36 bytes"));
  EXPECT_THAT(shaped({INT64_MAX / 8, 1}), HasStatus(StatusCode::kDataLoss, "but the file ends"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.type = 3; }),
              HasStatus(StatusCode::kInvalidArgument, "tensor t has type Q4_1"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.type = 99; }),
              HasStatus(StatusCode::kInvalidArgument, "number 99"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.type = 8; }),
              HasStatus(StatusCode::kDataLoss, "multiple of 32"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.offset = 32; }),
              HasStatus(StatusCode::kDataLoss, "expected 0"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.data_bytes = 31; }),
              HasStatus(StatusCode::kDataLoss, "needs 32 bytes"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) { raw.num_tensors = raw.repeats = 2, raw.num_values = 2; }),
              HasStatus(StatusCode::kDataLoss, "twice"));
}

TEST(GgufFile, RefusesAlignmentsThatAreNoPowerOfTwo) {
  const auto aligned = [](uint8_t alignment) {
    return StatusOfRaw([alignment](RawFile& raw) {
      raw.key = "general.alignment", raw.value = {alignment, 0, 0, 0};
    });
  };
  EXPECT_THAT(aligned(32), IsOk());
  EXPECT_THAT(aligned(16), IsOk());
  EXPECT_THAT(aligned(0), HasStatus(StatusCode::kDataLoss, "power of two"));
  EXPECT_THAT(aligned(24), HasStatus(StatusCode::kDataLoss, "power of two"));
  EXPECT_THAT(StatusOfRaw([](RawFile& raw) {
                raw.key = "general.alignment", raw.value = {0, 0, 0, 0x80};
              }),
              HasStatus(StatusCode::kDataLoss, "general.alignment"));
}

TEST(GgufFile, EveryTruncationIsAnError) {
  // Up to the end of the last tensor's data: what follows is padding.
  const Bytes whole = TinyLlama{.layers = 1}.ToBytes();
  const auto file = GgufFile::FromBytes(whole);
  ASSERT_THAT(file, IsOk());
  const GgufTensor& last = (*file)->tensors().back();
  const size_t data_bytes = last.data.size();
  size_t end = whole.size();
  while ((end - data_bytes) % 32 != 0) --end;
  for (size_t size = 0; size < end; ++size) {
    // A copy of exactly this size, so that a sanitizer sees a read past its end.
    const Bytes part(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    ASSERT_THAT(GgufFile::FromBytes(part), HasStatus(StatusCode::kDataLoss, "")) << size;
  }
}

// A model as people have it: its vocabulary, every byte of the structure, and each tensor's beginning and end.
TEST(GgufFile, EveryTruncationOfARealModelsStructureIsAnError) {
  const std::string path = std::string(FLEETUNE_SOURCE_DIR) + "/models/household-base-q8_0.gguf";
  const Bytes whole = *ReadFile(path, 1 << 24);
  const auto file = GgufFile::Open(path);
  ASSERT_THAT(file, IsOk());
  const uint8_t* first = (*file)->tensors().front().data.data();
  const GgufTensor& last = (*file)->tensors().back();
  const size_t data_bytes = static_cast<size_t>(last.data.data() + last.data.size() - first);
  ASSERT_LT(data_bytes, whole.size());
  const size_t structure = (whole.size() - data_bytes) / 32 * 32;  // the file may end in padding
  ASSERT_EQ(std::memcmp(whole.data() + structure, first, data_bytes), 0);
  std::vector<size_t> sizes(structure + 1);
  std::iota(sizes.begin(), sizes.end(), size_t{0});
  for (const GgufTensor& tensor : (*file)->tensors()) {
    const size_t begin = structure + static_cast<size_t>(tensor.data.data() - first);
    for (const size_t size : {begin, begin + 1, begin + tensor.data.size() - 1}) sizes.push_back(size);
  }
  for (const size_t size : sizes) {
    const Bytes part(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    ASSERT_THAT(GgufFile::FromBytes(part), HasStatus(StatusCode::kDataLoss, "")) << size;
  }
}

TEST(GgufFile, NoFlippedByteOfTheStructureCrashes) {
  const Bytes whole = TinyLlama{.width = 4, .layers = 1, .feed_forward = 2}.ToBytes();
  const size_t structure = whole.size() - 259 * 16;  // more than all metadata and names
  for (size_t at = 0; at < structure; ++at) {
    for (const int flip : {0x01, 0x80, 0xFF}) {
      Bytes bytes = whole;
      bytes[at] = static_cast<uint8_t>(bytes[at] ^ flip);
      const auto file = GgufFile::FromBytes(bytes);
      if (file.ok()) (void)ReadLlamaShape(**file).ok();
    }
  }
}

TEST(GgufFile, GetsValuesByTypeOnly) {
  GgufWriter writer;
  writer.AddValue("i8", int8_t{-3});
  writer.AddValue("u64", UINT64_MAX);
  writer.AddFloat("f32", 0.5f);
  writer.AddValue("f64", 0.25);
  writer.AddBool("bool", true);
  writer.AddString("text", "x");
  writer.AddStrings("texts", std::vector<std::string>{"a", ""});
  writer.AddFloats("floats", std::vector<float>{1, 2});
  writer.AddInts("ints", std::vector<int32_t>{-1, 5});
  const uint64_t large[] = {UINT64_MAX};
  writer.AddValue("large", GgufArray{.element_type = 10,
                                     .count = 1,
                                     .raw = {reinterpret_cast<const uint8_t*>(large), 8},
                                     .strings = {}});
  const auto opened = GgufFile::FromBytes(writer.Finish());
  ASSERT_THAT(opened, IsOk());
  const GgufFile& file = **opened;
  EXPECT_EQ(*file.GetUint("u64"), UINT64_MAX);
  EXPECT_THAT(file.GetUint("i8"), HasStatus(StatusCode::kInvalidArgument, "is -3"));
  EXPECT_THAT(file.GetUint("bool"), HasStatus(StatusCode::kInvalidArgument, "expected an integer"));
  EXPECT_THAT(file.GetUint("absent"), HasStatus(StatusCode::kNotFound, "absent"));
  EXPECT_EQ(*file.GetFloat("f32"), 0.5);
  EXPECT_EQ(*file.GetFloat("f64"), 0.25);
  EXPECT_THAT(file.GetFloat("u64"), HasStatus(StatusCode::kInvalidArgument, "f32 or f64"));
  EXPECT_EQ(*file.GetBool("bool"), true);
  EXPECT_THAT(file.GetBool("f32"), HasStatus(StatusCode::kInvalidArgument, "expected bool"));
  EXPECT_EQ(*file.GetString("text"), "x");
  EXPECT_THAT(file.GetString("texts"), HasStatus(StatusCode::kInvalidArgument, "expected a string"));
  EXPECT_EQ(*file.GetStrings("texts"), (std::vector<std::string_view>{"a", ""}));
  EXPECT_THAT(file.GetStrings("ints"), HasStatus(StatusCode::kInvalidArgument, "array of strings"));
  EXPECT_EQ(*file.GetInts("ints"), (std::vector<int64_t>{-1, 5}));
  EXPECT_THAT(file.GetInts("floats"), HasStatus(StatusCode::kInvalidArgument, "array of integers"));
  EXPECT_THAT(file.GetInts("large"), HasStatus(StatusCode::kInvalidArgument, "over 2^63"));
  EXPECT_EQ(*file.GetFloats("floats"), (std::vector<float>{1, 2}));
  EXPECT_THAT(file.GetFloats("text"), HasStatus(StatusCode::kInvalidArgument, "array of f32"));
}

TEST(GgufFile, OpensWhatWasWritten) {
  const TempFolder folder;
  const std::string path = folder.File("tiny.gguf");
  ASSERT_THAT(TinyLlama{}.ToWriter().WriteFile(path), IsOk());
  const auto file = GgufFile::Open(path);
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ((*file)->path(), path);
  ASSERT_THAT(WriteFileAtomic(path, AsBytes("GGUF")), IsOk());
  EXPECT_THAT(GgufFile::Open(path), HasStatus(StatusCode::kDataLoss, path.c_str()));
}

}  // namespace
}  // namespace fleetune
