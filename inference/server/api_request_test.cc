#include "inference/server/api_request.h"

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "inference/server/api_error.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

// A chat of one message with more fields, as `, "field": value`.
std::string Chat(std::string_view more = "") {
  return fmt::format(R"({{"model": "base", "messages": [{{"role": "user", "content": "hi"}}]{}}})", more);
}
absl::StatusOr<CompletionRequest> ParseChat(std::string_view more) { return ParseChatRequest(Chat(more), {}); }
absl::StatusOr<CompletionRequest> ParseCompletion(std::string_view more) {
  return ParseCompletionRequest(fmt::format(R"({{"model": "base", "prompt": "hi"{}}})", more), {});
}

void ExpectRefused(const absl::Status& status, std::string_view field) {
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
  if (!status.ok()) {
    EXPECT_EQ(ToApiError(status).param, field) << status;
  }
}

TEST(ChatRequest, HasTheApisDefaults) {
  const auto request = ParseChat("");
  ASSERT_THAT(request, IsOk());
  EXPECT_EQ(request->model, "base");
  EXPECT_EQ(std::get<ApiMessages>(request->prompt), (ApiMessages{{"user", "hi"}}));
  EXPECT_EQ(request->options.temperature, 1);
  EXPECT_EQ(request->options.max_tokens, ApiLimits{}.max_tokens);
  EXPECT_FALSE(request->stream || request->seed || request->options.log_probabilities || request->options.json);
}

TEST(ChatRequest, ReadsEveryField) {
  const auto request = ParseChat(R"(, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "repetition_penalty": 1.1,
      "max_tokens": 7, "max_completion_tokens": 9, "seed": 9007199254740991, "stop": ["a", "b"], "stream": true,
      "stream_options": {"include_usage": true}, "logprobs": true, "top_logprobs": 20, "time_budget_ms": 1500,
      "response_format": {"type": "json_object"}, "user": "me", "n": 1, "tools": [], "tool_choice": "none",
      "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "store": false, "metadata": null)");
  ASSERT_THAT(request, IsOk());
  const GenerateOptions& options = request->options;
  EXPECT_FLOAT_EQ(options.temperature, 0.5f);
  EXPECT_FLOAT_EQ(options.top_p, 0.9f);
  EXPECT_EQ(options.top_k, 40u);
  EXPECT_FLOAT_EQ(options.min_p, 0.05f);
  EXPECT_FLOAT_EQ(options.repetition_penalty, 1.1f);
  EXPECT_EQ(options.max_tokens, 9u);
  EXPECT_EQ(options.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(options.log_probabilities, 20u);
  EXPECT_EQ(options.time_budget, std::chrono::milliseconds(1500));
  EXPECT_NE(options.json, nullptr);
  EXPECT_EQ(request->seed, kMaxApiSeed);
  EXPECT_TRUE(request->stream && request->stream_usage);
  EXPECT_THAT(Validate(options), IsOk());
}

TEST(ChatRequest, MayAskForLessThanTheTimeBudget) {
  const ApiLimits limits = {.time_budget = std::chrono::milliseconds(200)};
  const auto budget = [&limits](const char* more) -> std::optional<int64_t> {
    const auto request = ParseChatRequest(Chat(more), limits);
    if (!request.ok()) {
      ExpectRefused(request.status(), "time_budget_ms");
      return std::nullopt;
    }
    return request->options.time_budget.count();
  };
  EXPECT_EQ(budget(""), 200);
  EXPECT_EQ(budget(R"(, "time_budget_ms": null)"), 200);
  EXPECT_EQ(budget(R"(, "time_budget_ms": 1)"), 1);
  EXPECT_EQ(budget(R"(, "time_budget_ms": 200)"), 200);
  EXPECT_EQ(budget(R"(, "time_budget_ms": 201)"), std::nullopt);
  EXPECT_EQ(budget(R"(, "time_budget_ms": 0)"), std::nullopt);
  EXPECT_EQ(ParseChat("")->options.time_budget.count(), 0);
}

TEST(ChatRequest, RefusesByName) {
  const std::pair<const char*, const char*> wrong[] = {
      {R"(, "temperature": 10.1)", "temperature"},
      {R"(, "temperature": "1")", "temperature"},
      {R"(, "top_p": 0)", "top_p"},
      {R"(, "max_tokens": 0)", "max_tokens"},
      {R"(, "max_tokens": 4097)", "max_tokens"},
      {R"(, "max_completion_tokens": -1)", "max_completion_tokens"},
      {R"(, "max_tokens": 1.5)", "max_tokens"},
      {R"(, "seed": 9007199254740992)", "seed"},
      {R"(, "stop": "")", "stop"},
      {R"(, "stop": [1])", "stop"},
      {R"(, "stop": ["1","2","3","4","5","6","7","8","9","a","b","c","d","e","f","g","h"])", "stop"},
      {R"(, "stream": "yes")", "stream"},
      {R"(, "stream_options": {"include_usage": true})", "stream_options"},
      {R"(, "stream": true, "stream_options": {"x": 1})", "stream_options.x"},
      {R"(, "top_logprobs": 2)", "top_logprobs"},
      {R"(, "logprobs": true, "top_logprobs": 21)", "top_logprobs"},
      {R"(, "n": 2)", "n"},
      {R"(, "tools": [{}])", "tools"},
      {R"(, "logit_bias": {"5": 1})", "logit_bias"},
      {R"(, "frequency_penalty": 0.5)", "frequency_penalty"},
      {R"(, "response_format": {"type": "xml"})", "response_format.type"},
      {R"(, "response_format": {"type": "json_schema"})", "response_format.json_schema"},
      {R"(, "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "string"}}})",
       "response_format.json_schema.schema"},
      {R"(, "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object", "patternProperties": {}}}})",
       "response_format.json_schema.schema"},
      {R"(, "audio": {})", "audio"},
  };
  for (const auto& [more, field] : wrong) ExpectRefused(ParseChat(more).status(), field);
  EXPECT_THAT(ParseChat(R"(, "response_format": {"type": "json_schema", "json_schema": {"schema": {"allOf": []}}})"),
              HasStatus(StatusCode::kInvalidArgument, "allOf: this keyword"));
}

TEST(ChatRequest, ReadsMessagesOfEveryForm) {
  const auto request = ParseChatRequest(R"({"model": "m", "messages": [
      {"role": "developer", "content": "be kind"},
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "me"},
      {"role": "assistant", "content": "c", "refusal": null}]})", {});
  ASSERT_THAT(request, IsOk());
  EXPECT_EQ(std::get<ApiMessages>(request->prompt), (ApiMessages{{"system", "be kind"}, {"user", "ab"}, {"assistant", "c"}}));
}

TEST(ChatRequest, RefusesMessagesByPlace) {
  const std::pair<const char*, const char*> wrong[] = {
      {"1", "messages"},
      {"[]", "messages"},
      {"[1]", "messages[0]"},
      {R"([{"role": "user", "content": "a"}, {"role": "tool", "content": "a"}])", "messages[1].role"},
      {R"([{"role": "user"}])", "messages[0].content"},
      {R"([{"role": "user", "content": 1}])", "messages[0].content"},
      {R"([{"role": "user", "content": [{"type": "image_url"}]}])", "messages[0].content[0].type"},
      {R"([{"role": "user", "content": [1]}])", "messages[0].content[0]"},
      {R"([{"role": "user", "content": "a", "tool_calls": []}])", "messages[0].tool_calls"},
  };
  for (const auto& [messages, field] : wrong) {
    ExpectRefused(ParseChatRequest(fmt::format(R"({{"model": "m", "messages": {}}})", messages), {}).status(), field);
  }
  EXPECT_THAT(ParseChatRequest(Chat(), {.max_messages = 1}), IsOk());
  ExpectRefused(ParseChatRequest(Chat(), {.max_messages = 0}).status(), "messages");
}

TEST(ChatRequest, RefusesWhatIsNoRequest) {
  for (const char* body : {"", "[]", "{", "1", "{\"model\": \"\xFF\"}"}) {
    EXPECT_THAT(ParseChatRequest(body, {}), HasStatus(StatusCode::kInvalidArgument, "JSON object")) << body;
  }
  ExpectRefused(ParseChatRequest("{}", {}).status(), "model");
  EXPECT_THAT(ParseChatRequest(Chat(), {.max_body_bytes = Chat().size()}), IsOk());
  EXPECT_THAT(ParseChatRequest(Chat(), {.max_body_bytes = Chat().size() - 1}),
              HasStatus(StatusCode::kInvalidArgument, "the body has over"));
}

TEST(CompletionRequest, ReadsPromptAndLogProbabilities) {
  const auto request = ParseCompletion(R"(, "logprobs": 2, "echo": false, "best_of": 1, "max_tokens": 3)");
  ASSERT_THAT(request, IsOk());
  EXPECT_EQ(std::get<std::string>(request->prompt), "hi");
  EXPECT_EQ(request->options.log_probabilities, 2u);
  EXPECT_THAT(ParseCompletionRequest(R"({"model": "m", "prompt": ["a"]})", {}), IsOk());
  ExpectRefused(ParseCompletionRequest(R"({"model": "m", "prompt": ["a", "b"]})", {}).status(), "prompt");
  ExpectRefused(ParseCompletionRequest(R"({"model": "m", "prompt": [1, 2]})", {}).status(), "prompt");
  ExpectRefused(ParseCompletionRequest(R"({"model": "m"})", {}).status(), "prompt");
  ExpectRefused(ParseCompletion(R"(, "echo": true)").status(), "echo");
  ExpectRefused(ParseCompletion(R"(, "suffix": "x")").status(), "suffix");
  ExpectRefused(ParseCompletion(R"(, "messages": [])").status(), "messages");
}

TEST(EmbeddingsRequest, ReadsInputs) {
  const auto one = ParseEmbeddingsRequest(R"({"model": "m", "input": "a"})", {});
  ASSERT_THAT(one, IsOk());
  EXPECT_EQ(one->inputs, std::vector<std::string>{"a"});
  EXPECT_FALSE(one->base64);
  const auto two = ParseEmbeddingsRequest(R"({"model": "m", "input": ["a", ""], "encoding_format": "base64"})", {.max_inputs = 2});
  ASSERT_THAT(two, IsOk());
  EXPECT_EQ(two->inputs.size(), 2u);
  EXPECT_TRUE(two->base64);
  const auto refused = [](std::string_view body, std::string_view field) {
    ExpectRefused(ParseEmbeddingsRequest(body, {.max_inputs = 1}).status(), field);
  };
  refused(R"({"model": "m", "input": ["a", "b"]})", "input");
  refused(R"({"model": "m", "input": []})", "input");
  refused(R"({"model": "m", "input": [[1]]})", "input");
  refused(R"({"model": "m"})", "input");
  refused(R"({"model": "m", "input": "a", "encoding_format": "int8"})", "encoding_format");
  refused(R"({"model": "m", "input": "a", "dimensions": 3})", "dimensions");
}

TEST(FeedbackRequest, IsOfAnAnswerOrOfTexts) {
  const auto by_id = ParseFeedbackRequest(R"({"id": "x", "verdict": "bad", "correction": "c"})", {});
  ASSERT_THAT(by_id, IsOk());
  EXPECT_EQ(by_id->id, "x");
  EXPECT_FALSE(by_id->good);
  const auto by_text = ParseFeedbackRequest(R"({"prompt": "p", "answer": "a", "verdict": "good"})", {});
  ASSERT_THAT(by_text, IsOk());
  EXPECT_EQ(std::get<std::string>(by_text->prompt), "p");
  const auto by_chat = ParseFeedbackRequest(
      R"({"messages": [{"role": "user", "content": "p"}], "answer": "a", "verdict": "bad", "correction": "c"})", {});
  ASSERT_THAT(by_chat, IsOk());
  EXPECT_EQ(std::get<ApiMessages>(by_chat->prompt).size(), 1u);
  const std::pair<const char*, const char*> wrong[] = {
      {R"({"verdict": "good"})", "prompt"},
      {R"({"prompt": "p", "verdict": "good"})", "answer"},
      {R"({"id": "x", "answer": "a", "verdict": "good"})", "id"},
      {R"({"id": "x", "messages": [{"role": "user", "content": "p"}], "verdict": "good"})", "id"},
      {R"({"prompt": "p", "messages": [{"role": "user", "content": "p"}], "answer": "a", "verdict": "good"})", "prompt"},
      {R"({"id": "x", "verdict": "fine"})", "verdict"},
      {R"({"id": "x"})", "verdict"},
      {R"({"id": "x", "verdict": "bad"})", "correction"},
      {R"({"id": "x", "verdict": "good", "correction": "c"})", "correction"},
      {R"({"id": "x", "verdict": "good", "stars": 5})", "stars"},
  };
  for (const auto& [body, field] : wrong) ExpectRefused(ParseFeedbackRequest(body, {}).status(), field);
}

}  // namespace
}  // namespace fleetune
