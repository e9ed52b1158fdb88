#include "base/bytes.h"

#include <limits>

#include "base/read_array.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;

TEST(ByteReaderTest, ReadsWhatTheWriterWrote) {
  ByteWriter writer;
  writer.Write<uint8_t>(0xab);
  writer.Write<int32_t>(-2);
  writer.Write<uint64_t>(std::numeric_limits<uint64_t>::max());
  writer.Write<float>(1.5f);
  writer.Write<double>(-0.25);
  writer.WriteBlob(AsBytes("blob"));
  writer.WriteBytes(AsBytes("tail"));

  ByteReader reader(writer.bytes());
  EXPECT_EQ(*reader.Read<uint8_t>(), 0xab);
  EXPECT_EQ(*reader.Read<int32_t>(), -2);
  EXPECT_EQ(*reader.Read<uint64_t>(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(*reader.Read<float>(), 1.5f);
  EXPECT_EQ(*reader.Read<double>(), -0.25);
  EXPECT_EQ(AsText(*reader.ReadBlob(4)), "blob");
  EXPECT_EQ(AsText(*reader.ReadBytes(4)), "tail");
  EXPECT_THAT(reader.ExpectEnd(), IsOk());
  EXPECT_EQ(reader.position(), writer.bytes().size());
}

TEST(ByteWriterTest, IsLittleEndian) {
  ByteWriter writer;
  writer.Write<uint32_t>(0x01020304);
  writer.WriteBlob(AsBytes("A"));
  EXPECT_THAT(writer.Take(), ElementsAre(4, 3, 2, 1, 1, 0, 0, 0, 'A'));
}

TEST(ByteReaderTest, PastTheEndIsDataLossAndDoesNotMove) {
  const Bytes bytes(7, 1);
  ByteReader reader(bytes);
  ASSERT_THAT(reader.Skip(4), IsOk());
  EXPECT_THAT(reader.Read<uint32_t>(),
              HasStatus(StatusCode::kDataLoss, "4 bytes expected at byte 4, 3 are left"));
  EXPECT_THAT(reader.ReadBytes(4), HasStatus(StatusCode::kDataLoss, "cut off"));
  EXPECT_THAT(reader.Skip(std::numeric_limits<uint64_t>::max()), HasStatus(StatusCode::kDataLoss, "cut off"));
  EXPECT_EQ(reader.position(), 4u);
  EXPECT_THAT(reader.ReadBytes(3), IsOk());
  EXPECT_THAT(reader.ReadBytes(0), IsOk());
}

TEST(ReadArrayTest, AnArrayIsReadWholeOrNotAtAll) {
  const Bytes bytes{1, 2, 3, 4, 5};
  ByteReader reader(bytes);
  std::array<uint8_t, 3> three{};
  ASSERT_THAT(ReadArray(reader, three), IsOk());
  EXPECT_THAT(three, ElementsAre(1, 2, 3));
  EXPECT_THAT(ReadArray(reader, three), HasStatus(StatusCode::kDataLoss, "3 bytes expected at byte 3, 2 are left"));
  EXPECT_THAT(three, ElementsAre(1, 2, 3));
  EXPECT_EQ(reader.position(), 3u);
}

TEST(ByteReaderTest, EveryTruncationOfABlobIsDataLossAndDoesNotMove) {
  ByteWriter writer;
  writer.WriteBlob(AsBytes("12345"));
  for (size_t size = 0; size < writer.bytes().size(); ++size) {
    ByteReader reader(std::span(writer.bytes()).first(size));
    EXPECT_THAT(reader.ReadBlob(5), HasStatus(StatusCode::kDataLoss, "cut off")) << size;
    EXPECT_EQ(reader.position(), 0u);
  }
}

TEST(ByteReaderTest, BlobOverTheLimitIsRefusedBeforeItIsRead) {
  ByteWriter writer;
  writer.Write<uint32_t>(0xffffffff);  // and no content
  ByteReader reader(writer.bytes());
  EXPECT_THAT(reader.ReadBlob(16), HasStatus(StatusCode::kResourceExhausted, "at most 16"));
  EXPECT_EQ(reader.position(), 0u);
}

TEST(ByteReaderTest, ExpectEndNamesWhatFollows) {
  const Bytes bytes(3);
  ByteReader reader(bytes);
  ASSERT_THAT(reader.Skip(1), IsOk());
  EXPECT_THAT(reader.ExpectEnd(), HasStatus(StatusCode::kDataLoss, "2 bytes follow the end at byte 1"));
}

}  // namespace
}  // namespace fleetune
