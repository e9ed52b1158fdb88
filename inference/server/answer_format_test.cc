#include "inference/server/answer_format.h"

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace fleetune {
namespace {

using Json = nlohmann::json;

const AnswerHead kChat = {.id = "chatcmpl-1", .is_chat = true, .created = 17, .model = "home", .fingerprint = "base-ab/home@3-cd",
                          .seed = 5, .log_probabilities = false};
Generated Answered(StopReason reason = StopReason::kMaxTokens) {
  return {.text = "hello",
          .prompt_tokens = 4,
          .cached_tokens = 2,
          .answer_tokens = 3,
          .drafted_tokens = 4,
          .accepted_tokens = 1,
          .reason = reason};
}
// The objects of a stream; checks that each is one event.
std::vector<Json> EventsOf(std::string stream) {
  std::vector<Json> events;
  while (!stream.empty()) {
    const size_t end = stream.find("\n\n");
    EXPECT_TRUE(stream.starts_with("data: ") && end != std::string::npos);
    const std::string data = stream.substr(6, end - 6);
    EXPECT_EQ(data.find('\n'), std::string::npos);
    if (data == "[DONE]") {
      EXPECT_EQ(stream.size(), end + 2);
    } else {
      events.push_back(Json::parse(data));
    }
    stream.erase(0, end + 2);
  }
  return events;
}

TEST(AnswerFormat, AChatAsAWhole) {
  const Json json = Json::parse(FormatAnswer(kChat, Answered()));
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["id"], "chatcmpl-1");
  EXPECT_EQ(json["created"], 17);
  EXPECT_EQ(json["model"], "home");
  EXPECT_EQ(json["system_fingerprint"], "base-ab/home@3-cd");
  EXPECT_EQ(json["choices"][0]["message"], Json({{"role", "assistant"}, {"content", "hello"}, {"refusal", nullptr}}));
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(json["choices"][0]["logprobs"].is_null());
  EXPECT_EQ(json["usage"]["total_tokens"], 7);
  EXPECT_EQ(json["usage"]["prompt_tokens_details"]["cached_tokens"], 2);
  EXPECT_EQ(json["usage"]["completion_tokens_details"]["accepted_prediction_tokens"], 1);
  EXPECT_EQ(json["usage"]["completion_tokens_details"]["rejected_prediction_tokens"], 3);
  EXPECT_EQ(json["fleetune"], Json({{"seed", 5}, {"stop_reason", "max_tokens"}}));
}

TEST(AnswerFormat, SaysWhyItEnded) {
  EXPECT_EQ(FinishReason(StopReason::kEndOfText), "stop");
  EXPECT_EQ(FinishReason(StopReason::kStopString), "stop");
  for (const StopReason reason : {StopReason::kMaxTokens, StopReason::kContextFull, StopReason::kTimeBudget}) {
    EXPECT_EQ(FinishReason(reason), "length");
  }
  EXPECT_EQ(Json::parse(FormatAnswer(kChat, Answered(StopReason::kTimeBudget)))["fleetune"]["stop_reason"], "time_budget");
}

TEST(AnswerFormat, AStreamHasRoleTextReasonUsageAndEnd) {
  AnswerStream stream(kChat, /*usage=*/true);
  const auto events = EventsOf(stream.First() + stream.Piece("hel", {}) + stream.Piece("lo\n", {}) + stream.Last(Answered()));
  ASSERT_EQ(events.size(), 5u);
  for (const Json& event : events) EXPECT_EQ(event["object"], "chat.completion.chunk");
  EXPECT_EQ(events[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(events[1]["choices"][0]["delta"]["content"], "hel");
  EXPECT_EQ(events[2]["choices"][0]["delta"]["content"], "lo\n");
  EXPECT_TRUE(events[2]["choices"][0]["finish_reason"].is_null());
  EXPECT_EQ(events[3]["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(events[4]["usage"]["completion_tokens"], 3);
  EXPECT_TRUE(events[4]["choices"].empty());
}

TEST(AnswerFormat, ACompletionHasText) {
  AnswerHead head = kChat;
  head.is_chat = false;
  EXPECT_EQ(Json::parse(FormatAnswer(head, Answered()))["choices"][0]["text"], "hello");
  AnswerStream stream(head, /*usage=*/false);
  const auto events = EventsOf(stream.First() + stream.Piece("hello", {}) + stream.Last(Answered()));
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0]["object"], "text_completion");
  EXPECT_EQ(events[0]["choices"][0]["text"], "hello");
}

TEST(AnswerFormat, LogProbabilitiesHaveTheirBytes) {
  AnswerHead head = kChat;
  head.log_probabilities = true;
  Generated answer = Answered();
  answer.tokens = {{.chosen = {"\xC3", -0.5}, .likeliest = {{"\xC3", -0.5}, {"a", -2}}}, {.chosen = {"\xA9", -0.25}, .likeliest = {}}};
  const Json chat = Json::parse(FormatAnswer(head, answer))["choices"][0]["logprobs"]["content"];
  EXPECT_EQ(chat[0]["token"], "\xEF\xBF\xBD");  // half a character
  EXPECT_EQ(chat[0]["bytes"], Json({0xC3}));
  EXPECT_EQ(chat[0]["top_logprobs"][1]["logprob"], -2);
  EXPECT_EQ(chat[1]["logprob"], -0.25);
  head.is_chat = false;
  const Json text = Json::parse(FormatAnswer(head, answer))["choices"][0]["logprobs"];
  EXPECT_EQ(text["token_logprobs"], Json({-0.5, -0.25}));
  EXPECT_EQ(text["text_offset"], Json({0, 1}));
  EXPECT_EQ(text["top_logprobs"][0]["a"], -2);
}

TEST(AnswerFormat, EmbeddingsAsNumbersOrAsBase64) {
  const std::vector<std::vector<float>> embeddings = {{0.5f, -2}, {1, 0}};
  const Json numbers = Json::parse(FormatEmbeddings("base", embeddings, false, 9));
  EXPECT_EQ(numbers["data"][1]["index"], 1);
  EXPECT_EQ(numbers["data"][0]["embedding"], Json({0.5, -2.0}));
  EXPECT_EQ(numbers["usage"]["prompt_tokens"], 9);
  const Json base64 = Json::parse(FormatEmbeddings("base", embeddings, true, 9));
  EXPECT_EQ(base64["data"][0]["embedding"], "AAAAPwAAAMA=");
}

TEST(AnswerFormat, ModelsAreAList) {
  const std::vector<ModelEntry> models = {{"base", "base-ab"}, {"home", "base-ab/home@3-cd"}};
  const Json json = Json::parse(FormatModels(models, 3));
  EXPECT_EQ(json["object"], "list");
  EXPECT_EQ(json["data"][1]["id"], "home");
  EXPECT_EQ(json["data"][1]["system_fingerprint"], "base-ab/home@3-cd");
  EXPECT_EQ(Json::parse(FormatModel(models[0], 3))["object"], "model");
}

TEST(AnswerFormat, AnErrorInAStreamIsAnEvent) {
  EXPECT_EQ(EventsOf(FormatErrorEvent(absl::InternalError("x")))[0]["error"]["type"], "server_error");
}

}  // namespace
}  // namespace fleetune
