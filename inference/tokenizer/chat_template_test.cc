#include "inference/tokenizer/chat_template.h"

#include <string>

#include "gmock/gmock.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr ChatTurn kConversation[] = {
    {"system", "Be brief."}, {"user", "Hi"}, {"assistant", "Hello!"}, {"user", "Bye"}};

std::string Text(ChatFamily family, std::span<const ChatTurn> turns, bool open_answer) {
  std::string text;
  for (const ChatPiece& piece : RenderChat(family, turns, open_answer)) text += piece.text;
  return text;
}

std::string Answers(ChatFamily family) {
  std::string text;
  for (const ChatPiece& piece : RenderChat(family, kConversation, true)) {
    if (piece.is_answer) text += piece.text;
  }
  return text;
}

TEST(ChatTemplateTest, RecognizesEachFamilyByItsUsualTemplate) {
  const auto family = [](std::string_view text) { return RecognizeChatTemplate(text).value(); };
  EXPECT_EQ(family("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + "
                   "'<|im_end|>' + '\\n'}}{% endfor %}"),
            ChatFamily::kChatML);
  EXPECT_EQ(family(""), ChatFamily::kChatML);
  EXPECT_EQ(family("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = "
                   "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + "
                   "'<|eot_id|>' %}"),
            ChatFamily::kLlama3);
  EXPECT_EQ(family("{% if messages[0]['role'] == 'system' %}{% set system_message = '<<SYS>>\\n' %}{{ bos_token + "
                   "'[INST] ' + content.strip() + ' [/INST]' }}"),
            ChatFamily::kLlama2);
  EXPECT_EQ(family("{{ bos_token }}{% for message in messages %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"),
            ChatFamily::kMistral);
  EXPECT_EQ(family("{% if message['role'] == 'user' %}{{ '<|user|>\\n' + message['content'] + eos_token }}{% elif "
                   "message['role'] == 'assistant' %}{{ '<|assistant|>\\n'  + message['content'] + eos_token }}"),
            ChatFamily::kZephyr);
  EXPECT_EQ(family("{{ bos_token }}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + "
                   "'<end_of_turn>\\n' }}"),
            ChatFamily::kGemma);
  EXPECT_EQ(family("{{'<|user|>' + '\\n' + message['content'] + '<|end|>' + '\\n' + '<|assistant|>' + '\\n'}}"),
            ChatFamily::kPhi3);
}

TEST(ChatTemplateTest, RefusesAnUnknownTemplateWithItsBeginning) {
  const std::string text = std::string(59, 'x') + "äTHE END";
  EXPECT_THAT(RecognizeChatTemplate(text), HasStatus(absl::StatusCode::kInvalidArgument, std::string(59, 'x') + "ä\""));
  EXPECT_THAT(RecognizeChatTemplate("\xff"), HasStatus(absl::StatusCode::kInvalidArgument, "chat_template"));
}

TEST(ChatTemplateTest, WritesEachFamily) {
  EXPECT_EQ(Text(ChatFamily::kChatML, kConversation, true),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(Text(ChatFamily::kLlama3, kConversation, true),
            "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
  EXPECT_EQ(Text(ChatFamily::kLlama2, kConversation, true),
            "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello! </s><s>[INST] Bye [/INST]");
  EXPECT_EQ(Text(ChatFamily::kMistral, kConversation, true),
            "[INST] Be brief.\n\nHi [/INST] Hello!</s>[INST] Bye [/INST]");
  EXPECT_EQ(Text(ChatFamily::kZephyr, kConversation, true),
            "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\nHello!</s>\n<|user|>\nBye</s>\n"
            "<|assistant|>\n");
  EXPECT_EQ(Text(ChatFamily::kPhi3, kConversation, true),
            "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\nHello!<|end|>\n<|user|>\nBye<|end|>\n"
            "<|assistant|>\n");
  EXPECT_EQ(Text(ChatFamily::kGemma, kConversation, true),
            "<start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n"
            "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n");
}

TEST(ChatTemplateTest, AnswersAreTheContentAndWhatEndsIt) {
  EXPECT_EQ(Answers(ChatFamily::kChatML), "Hello!<|im_end|>");
  EXPECT_EQ(Answers(ChatFamily::kLlama2), " Hello! </s>");
  EXPECT_EQ(Answers(ChatFamily::kLlama3), "Hello!<|eot_id|>");
  EXPECT_EQ(Answers(ChatFamily::kZephyr), "Hello!</s>");
  EXPECT_EQ(Answers(ChatFamily::kGemma), "Hello!<end_of_turn>");
  EXPECT_EQ(Answers(ChatFamily::kPhi3), "Hello!<|end|>");
  EXPECT_EQ(Answers(ChatFamily::kMistral), " Hello!</s>");
}

TEST(ChatTemplateTest, WhatPeopleWriteIsNeverMarkup) {
  constexpr ChatTurn kTurns[] = {{"user", "<|im_end|>"}};
  EXPECT_THAT(RenderChat(ChatFamily::kChatML, kTurns, false),
              testing::ElementsAre(ChatPiece{"<|im_start|>user\n", false, true}, ChatPiece{"<|im_end|>", false, false},
                                   ChatPiece{"<|im_end|>\n", false, true}));
}

TEST(ChatTemplateTest, ARoleThatTheTemplateDoesNotKnowIsNoMarkup) {
  constexpr ChatTurn kTurns[] = {{"endoftext", "x"}};
  EXPECT_THAT(RenderChat(ChatFamily::kZephyr, kTurns, false),
              testing::ElementsAre(ChatPiece{"<|", false, true}, ChatPiece{"endoftext", false, false},
                                   ChatPiece{"|>\n", false, true}, ChatPiece{"x", false, false},
                                   ChatPiece{"</s>\n", false, true}));
}

TEST(ChatTemplateTest, NoTurnsAreOnlyTheOpenAnswer) {
  EXPECT_EQ(Text(ChatFamily::kChatML, {}, true), "<|im_start|>assistant\n");
  EXPECT_THAT(RenderChat(ChatFamily::kChatML, {}, false), testing::IsEmpty());
}

}  // namespace
}  // namespace fleetune
