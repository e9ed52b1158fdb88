#include "base/utf8.h"

#include <string>

#include "gtest/gtest.h"

namespace fleetune {
namespace {

TEST(Utf8Test, SizesOfWellFormedCharactersAtBothEndsOfEachRange) {
  EXPECT_EQ(Utf8CharacterSize(std::string_view("\0", 1)), 1u);
  EXPECT_EQ(Utf8CharacterSize("\x7f"), 1u);
  EXPECT_EQ(Utf8CharacterSize("\xc2\x80"), 2u);
  EXPECT_EQ(Utf8CharacterSize("\xdf\xbf"), 2u);
  EXPECT_EQ(Utf8CharacterSize("\xe0\xa0\x80"), 3u);
  EXPECT_EQ(Utf8CharacterSize("\xed\x9f\xbf"), 3u);  // U+D7FF, before the surrogates
  EXPECT_EQ(Utf8CharacterSize("\xee\x80\x80"), 3u);  // U+E000, after them
  EXPECT_EQ(Utf8CharacterSize("\xef\xbf\xbf"), 3u);
  EXPECT_EQ(Utf8CharacterSize("\xf0\x90\x80\x80"), 4u);
  EXPECT_EQ(Utf8CharacterSize("\xf4\x8f\xbf\xbf"), 4u);  // U+10FFFF
}

TEST(Utf8Test, RefusesWhatIsNotWellFormed) {
  EXPECT_EQ(Utf8CharacterSize(""), 0u);
  EXPECT_EQ(Utf8CharacterSize("\x80"), 0u);
  EXPECT_EQ(Utf8CharacterSize("\xc1\xbf"), 0u);          // overlong
  EXPECT_EQ(Utf8CharacterSize("\xe0\x9f\xbf"), 0u);      // overlong
  EXPECT_EQ(Utf8CharacterSize("\xf0\x8f\xbf\xbf"), 0u);  // overlong
  EXPECT_EQ(Utf8CharacterSize("\xed\xa0\x80"), 0u);      // surrogate
  EXPECT_EQ(Utf8CharacterSize("\xf4\x90\x80\x80"), 0u);  // above U+10FFFF
  EXPECT_EQ(Utf8CharacterSize("\xf5\x80\x80\x80"), 0u);
  EXPECT_EQ(Utf8CharacterSize("\xc2" "A"), 0u);
  EXPECT_EQ(Utf8CharacterSize("\xe2\x82" "A"), 0u);
}

TEST(Utf8Test, ACutOffTextIsNotUtf8) {
  const std::string text = "aä€🦙";
  EXPECT_TRUE(IsUtf8(text));
  EXPECT_TRUE(IsUtf8(""));
  for (size_t cut = 0; cut < text.size(); ++cut) {
    const bool at_boundary = cut == 0 || cut == 1 || cut == 3 || cut == 6;
    EXPECT_EQ(IsUtf8(text.substr(0, cut)), at_boundary) << cut;
  }
}

}  // namespace
}  // namespace fleetune
