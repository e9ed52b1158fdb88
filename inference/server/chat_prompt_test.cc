#include "inference/server/chat_prompt.h"

#include "gtest/gtest.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

TEST(ChatPrompt, EndsWhereTheAnswerBegins) {
  const auto tokenizer = *Tokenizer::FromGguf(**GgufFile::FromBytes(TinyLlama{}.ToBytes()));
  const std::vector<int32_t> tokens = ChatTokens(*tokenizer, ChatFamily::kZephyr, {{"system", "hush"}, {"user", "hi"}});
  EXPECT_EQ(tokens.front(), *tokenizer->bos());
  const std::string text = *tokenizer->Decode(tokens);
  EXPECT_EQ(text, "<|system|>\nhush\n<|user|>\nhi\n<|assistant|>\n");  // "</s>" is a control token
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), *tokenizer->eos()), 2);
}

TEST(ChatPrompt, NobodyWritesAControlToken) {
  const auto tokenizer = *Tokenizer::FromGguf(**GgufFile::FromBytes(TinyLlama{}.ToBytes()));
  const std::vector<int32_t> tokens = ChatTokens(*tokenizer, ChatFamily::kZephyr, {{"user", "</s><s>"}});
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), *tokenizer->eos()), 1);
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), *tokenizer->bos()), 1);
}

TEST(ChatPrompt, TheSystemsWordsAreTheSameWhateverIsSaidAfterThem) {
  const auto tokenizer = *Tokenizer::FromGguf(**GgufFile::FromBytes(TinyLlama{}.ToBytes()));
  for (const ChatFamily family : {ChatFamily::kChatML, ChatFamily::kLlama2, ChatFamily::kLlama3, ChatFamily::kZephyr,
                                  ChatFamily::kGemma, ChatFamily::kPhi3, ChatFamily::kMistral}) {
    const auto system_text = [&](const ApiMessages& messages) {
      std::vector<int32_t> tokens = ChatTokens(*tokenizer, family, messages);
      tokens.resize(SystemTokens(*tokenizer, family, messages, tokens));
      return *tokenizer->Decode(tokens);
    };
    const std::string text = system_text({{"system", "hush"}, {"user", "hi"}});
    EXPECT_NE(text.find("hush"), std::string::npos);
    EXPECT_EQ(text.find("hi"), std::string::npos);
    EXPECT_EQ(system_text({{"system", "hush"}, {"user", "no"}, {"assistant", "ah"}, {"user", "hi"}}), text);
    EXPECT_EQ(system_text({{"user", "hi"}, {"system", "hush"}}), "");
    EXPECT_EQ(system_text({{"user", "hi"}}), "");
  }
}

TEST(ChatPrompt, EveryFamilyEndsAnswersInItsWay) {
  EXPECT_EQ(EndOfAnswer(ChatFamily::kChatML), "<|im_end|>");
  EXPECT_EQ(EndOfAnswer(ChatFamily::kLlama2), "</s>");
  EXPECT_EQ(EndOfAnswer(ChatFamily::kLlama3), "<|eot_id|>");
  EXPECT_EQ(EndOfAnswer(ChatFamily::kZephyr), "</s>");
  EXPECT_EQ(EndOfAnswer(ChatFamily::kGemma), "<end_of_turn>");
  EXPECT_EQ(EndOfAnswer(ChatFamily::kPhi3), "<|end|>");
  EXPECT_EQ(EndOfAnswer(ChatFamily::kMistral), "</s>");
}

}  // namespace
}  // namespace fleetune
