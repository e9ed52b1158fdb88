#include "inference/tokenizer/byte_alphabet.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace fleetune {
namespace {

TEST(ByteAlphabetTest, EveryByteHasACharacterOfItsOwnThatStandsForIt) {
  std::set<std::string> characters;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string character = ByteCharacter(static_cast<uint8_t>(byte));
    characters.insert(character);
    EXPECT_EQ(BytesOfToken(character), std::string(1, static_cast<char>(byte))) << byte;
  }
  EXPECT_EQ(characters.size(), 256u);
}

TEST(ByteAlphabetTest, IsGpt2s) {
  EXPECT_EQ(ByteCharacter(' '), "Ġ");
  EXPECT_EQ(ByteCharacter('\n'), "Ċ");
  EXPECT_EQ(ByteCharacter('A'), "A");
  EXPECT_EQ(ByteCharacter(0xC3), "Ã");
  EXPECT_EQ(ByteCharacter(0xAD), "Ń");
  EXPECT_EQ(BytesOfToken("Ġthe"), " the");
}

TEST(ByteAlphabetTest, WhatIsNotInTheAlphabetStays) {
  EXPECT_EQ(BytesOfToken("a b"), "a b");
  EXPECT_EQ(BytesOfToken("€"), "€");
  EXPECT_EQ(BytesOfToken("ń"), "ń");  // U+0144, the first after the alphabet
  EXPECT_EQ(BytesOfToken("\xff"), "\xff");
}

}  // namespace
}  // namespace fleetune
