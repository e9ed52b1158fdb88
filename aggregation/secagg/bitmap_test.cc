#include "aggregation/secagg/bitmap.h"

#include "aggregation/secagg/parser_checks.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

TEST(BitmapTest, HoldsWhatWasAdded) {
  for (const uint32_t size : {1u, 7u, 8u, 9u, 64u, 4096u}) {
    Bitmap bitmap(size);
    EXPECT_EQ(bitmap.Count(), 0u);
    EXPECT_EQ(bitmap.bytes().size(), (size + 7) / 8);
    bitmap.Add(0);
    bitmap.Add(size - 1);
    bitmap.Add(size - 1);
    EXPECT_TRUE(bitmap.Has(0));
    EXPECT_TRUE(bitmap.Has(size - 1));
    EXPECT_EQ(bitmap.Count(), size == 1 ? 1u : 2u);
    for (uint32_t i = 1; i + 1 < size; ++i) EXPECT_FALSE(bitmap.Has(i));
  }
}

TEST(BitmapTest, PositionIIsBitIOfTheBytes) {
  Bitmap bitmap(12);
  bitmap.Add(0);
  bitmap.Add(3);
  bitmap.Add(9);
  EXPECT_EQ(bitmap.bytes(), (Bytes{0b1001, 0b10}));
}

TEST(BitmapTest, ReadGivesItBack) {
  Bitmap bitmap(11);
  for (const uint32_t i : {2u, 7u, 10u}) bitmap.Add(i);
  ByteReader reader(bitmap.bytes());
  const absl::StatusOr<Bitmap> again = Bitmap::Read(11, reader);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(*again, bitmap);
  EXPECT_EQ(reader.remaining(), 0u);
}

TEST(BitmapTest, ReadsNoBitPastTheEnd) {
  for (uint32_t bit = 11; bit < 16; ++bit) {
    const Bytes bytes{0, static_cast<uint8_t>(1u << (bit - 8))};
    ByteReader reader(bytes);
    EXPECT_THAT(Bitmap::Read(11, reader), HasStatus(absl::StatusCode::kInvalidArgument, "past its end")) << bit;
  }
}

TEST(BitmapTest, ReadsNoFewerBytes) {
  const Bytes bytes{1};
  ByteReader reader(bytes);
  EXPECT_THAT(Bitmap::Read(9, reader), HasStatus(absl::StatusCode::kDataLoss, ""));
}

TEST(BitmapTest, AnEmptyOneTakesNoBytes) {
  ByteReader reader({});
  const absl::StatusOr<Bitmap> none = Bitmap::Read(0, reader);
  ASSERT_THAT(none, IsOk());
  EXPECT_EQ(none->Count(), 0u);
  EXPECT_EQ(*none, Bitmap());
}

TEST(BitmapTest, TheSameBytesOfAnotherSizeAreAnotherSet) { EXPECT_NE(Bitmap(11), Bitmap(12)); }

TEST(BitmapDeathTest, APositionPastTheEndIsABug) {
  Bitmap bitmap(9);
  EXPECT_DEATH(bitmap.Add(9), "");
  EXPECT_DEATH((void)bitmap.Has(9), "");
}

}  // namespace
}  // namespace fleetune::secagg
