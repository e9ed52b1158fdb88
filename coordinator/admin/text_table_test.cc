#include "coordinator/admin/text_table.h"

#include "gmock/gmock.h"

namespace fleetune {
namespace {

TEST(TextTableTest, ColumnsAreAsWideAsTheirWidestCell) {
  TextTable table({"ID", "NAME", "N"});
  table.Add({"d1", "küche", "10"});
  table.Add({"d234", "x", ""});
  EXPECT_EQ(table.Format(),
            "ID    NAME   N\n"
            "d1    küche  10\n"
            "d234  x\n");
  EXPECT_EQ(table.size(), 2u);
}

TEST(TextTableTest, WhatPeersSentCannotDriveATerminal) {
  TextTable table({"A"});
  table.Add({"x\x1b[2Jy\n"});
  EXPECT_EQ(table.Format(), "A\nx?[2Jy?\n");
}

TEST(TextTableTest, Facts) { EXPECT_EQ(FormatFacts({{"a", "1"}, {"long", "2"}}), "a:     1\nlong:  2\n"); }

TEST(TextTableTest, BytesTimesSpans) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1.0 KiB");
  EXPECT_EQ(FormatBytes(1536 * 1024), "1.5 MiB");
  EXPECT_EQ(FormatTime(0), "-");
  EXPECT_EQ(FormatTime(1'700'000'000'123), "2023-11-14 22:13:20 UTC");
  EXPECT_EQ(FormatSpan(-5), "0.0 s");
  EXPECT_EQ(FormatSpan(4'200), "4.2 s");
  EXPECT_EQ(FormatSpan(720'000), "12 min");
  EXPECT_EQ(FormatSpan(3 * 3'600'000), "3.0 h");
  EXPECT_EQ(FormatSpan(60LL * 3'600'000), "2.5 days");
  EXPECT_EQ(FormatAgo(0, 5), "never");
  EXPECT_EQ(FormatAgo(1'000, 3'000), "2.0 s ago");
}

}  // namespace
}  // namespace fleetune
