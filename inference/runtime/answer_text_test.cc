#include "inference/runtime/answer_text.h"

#include "gtest/gtest.h"

namespace fleetune {
namespace {

TEST(AnswerText, HoldsACharacterUntilItIsWhole) {
  AnswerText text({});
  EXPECT_EQ(text.Push("a\xE2"), "a");
  EXPECT_EQ(text.Push("\x82"), "");
  EXPECT_EQ(text.Push("\xACz"), "\u20ACz");
  EXPECT_EQ(text.Finish(), "");
}

TEST(AnswerText, ReplacesBytesThatAreNoCharacter) {
  const std::string r = "\uFFFD";
  const std::pair<std::string, std::string> cases[] = {{"\x80x", r + "x"},
                                                       {"\xC0\xAF", r + r},
                                                       {"\xED\xA0\x80", r + r + r},  // a surrogate
                                                       {"\xE2\x82x", r + r + "x"},
                                                       {"\xF5\x80", r + r},
                                                       {"\xF4\x90\x80\x80", r + r + r + r},
                                                       {"\xF0\x8F\x80\x80", r + r + r + r},
                                                       {"\xF0\x9F\x98\x80", "\U0001F600"},
                                                       {"\xE0\x80\x80", r + r + r}};
  for (const auto& [bytes, expected] : cases) {
    AnswerText whole({});
    EXPECT_EQ(whole.Push(bytes) + whole.Finish(), expected);
    AnswerText pieces({});
    std::string got;
    for (const char byte : bytes) got += pieces.Push({&byte, 1});
    EXPECT_EQ(got + pieces.Finish(), expected);
  }
}

TEST(AnswerText, AnUnfinishedCharacterAtTheEndIsReplaced) {
  AnswerText text({});
  EXPECT_EQ(text.Push("a\xF0\x9F"), "a");
  EXPECT_EQ(text.Finish(), "\uFFFD");
  EXPECT_EQ(text.Finish(), "");
}

TEST(AnswerText, EndsBeforeTheFirstStopString) {
  AnswerText text({"END", "\n\n"});
  EXPECT_EQ(text.Push("one\n"), "one");  // may begin a stop string
  EXPECT_EQ(text.Push("two E"), "\ntwo ");
  EXPECT_EQ(text.Push("N"), "");
  EXPECT_EQ(text.Push("d EN"), "ENd ");
  EXPECT_FALSE(text.stopped());
  EXPECT_EQ(text.Push("D more\n\n"), "");
  EXPECT_TRUE(text.stopped());
  EXPECT_EQ(text.Push("more"), "");
  EXPECT_EQ(text.Finish(), "");
}

TEST(AnswerText, OfSeveralStopStringsTheEarliestCounts) {
  AnswerText text({"te", "la", "x"});
  EXPECT_EQ(text.Push("a late"), "a ");
  EXPECT_TRUE(text.stopped());
}

TEST(AnswerText, WhatOnlyBeganAStopStringIsGivenAtTheEnd) {
  AnswerText text({"stop"});
  EXPECT_EQ(text.Push("no sto"), "no ");
  EXPECT_EQ(text.Finish(), "sto");
}

}  // namespace
}  // namespace fleetune
