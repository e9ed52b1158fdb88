#include "inference/server/api_service.h"

#include <thread>

#include "tests/support/service_fixture.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using nlohmann::json;

using ApiServiceTest = ServiceFixture;

TEST(ApiOptions, HaveRanges) {
  EXPECT_THAT(Validate(ApiOptions{}), IsOk());
  EXPECT_THAT(Validate(ApiOptions{.running = 0}), HasStatus(StatusCode::kInvalidArgument, "running is 0"));
  EXPECT_THAT(Validate(ApiOptions{.running = 65}), HasStatus(StatusCode::kInvalidArgument, "running"));
  EXPECT_THAT(Validate(ApiOptions{.waiting = 1025}), HasStatus(StatusCode::kInvalidArgument, "waiting"));
  EXPECT_THAT(Validate(ApiOptions{.draft_tokens = 33}), HasStatus(StatusCode::kInvalidArgument, "draft_tokens is 33"));
  EXPECT_THAT(Validate(ApiOptions{.limits = {.max_tokens = 0}}), HasStatus(StatusCode::kInvalidArgument, "max_tokens"));
  EXPECT_THAT(Validate(ApiOptions{.limits = {.time_budget = kMaxTimeBudget}}), IsOk());
  for (const auto wrong : {kMaxTimeBudget + std::chrono::milliseconds(1), std::chrono::milliseconds(-1)}) {
    EXPECT_THAT(Validate(ApiOptions{.limits = {.time_budget = wrong}}),
                HasStatus(StatusCode::kInvalidArgument, "time_budget"));
  }
}

TEST_F(ApiServiceTest, AnswersAsTheGeneratorDoes) {
  const auto service = MakeService();
  const json answer = Completed(*service, CompletionBody({{"temperature", 0}}));
  const auto expected = generator_->Generate("Once upon a time", nullptr, {.max_tokens = 12}, [](std::string_view) {});
  EXPECT_EQ(answer["choices"][0]["text"], expected->text);
  EXPECT_EQ(answer["usage"]["prompt_tokens"], expected->prompt_tokens);
  EXPECT_EQ(answer["usage"]["completion_tokens"], 12);
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(answer["system_fingerprint"], "base-0123456789ab");
}

TEST_F(ApiServiceTest, ADrawnSeedGivesTheAnswerAgain) {
  const auto service = MakeService();
  const json prompt = {{"prompt", "Once upon a time there was a little cat that lived in a house with a garden"}};
  const json first = Completed(*service, CompletionBody(prompt));
  json asked = prompt;
  asked["seed"] = first["fleetune"]["seed"];
  const json again = Completed(*service, CompletionBody(asked));
  EXPECT_EQ(again["choices"], first["choices"]);
  EXPECT_NE(again["id"], first["id"]);
  EXPECT_GT(again["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
}

TEST_F(ApiServiceTest, StreamsWhatItAnswersAsAWhole) {
  const auto service = MakeService();
  const std::string whole = Completed(*service, CompletionBody({{"seed", 4}}))["choices"][0]["text"];
  auto answering = service->BeginCompletion(CompletionBody({{"seed", 4}, {"stream", true}}));
  ASSERT_THAT(answering, IsOk());
  EXPECT_TRUE((*answering)->stream());
  MemoryWriter writer;
  EXPECT_TRUE((*answering)->Write(writer));
  EXPECT_GT(writer.writes, 5u);
  std::string text, body = writer.body;
  for (size_t end = 0; (end = body.find("\n\n")) != std::string::npos; body.erase(0, end + 2)) {
    const std::string data = body.substr(6, end - 6);
    if (data != "[DONE]") text += json::parse(data)["choices"][0]["text"].get<std::string>();
  }
  EXPECT_EQ(text, whole);
  EXPECT_TRUE(writer.body.ends_with("data: [DONE]\n\n"));
}

TEST_F(ApiServiceTest, AChatIsReadThroughItsTemplate) {
  const auto service = MakeService();
  auto answering = service->BeginChat(
      R"({"model": "base", "messages": [{"role": "user", "content": "Tell"}], "max_tokens": 5, "temperature": 0})");
  ASSERT_THAT(answering, IsOk());
  MemoryWriter writer;
  EXPECT_TRUE((*answering)->Write(writer));
  const auto expected = generator_->Generate("<|im_start|>user\nTell<|im_end|>\n<|im_start|>assistant\n", nullptr,
                                             {.max_tokens = 5}, [](std::string_view) {});
  const json answer = json::parse(writer.body);
  EXPECT_EQ(answer["choices"][0]["message"]["content"], expected->text);
  EXPECT_EQ(answer["usage"]["prompt_tokens"], expected->prompt_tokens);
}

TEST_F(ApiServiceTest, JsonModeAnswersJsonOfTheSchema) {
  const auto service = MakeService();
  const json body = {{"model", "base"},
                     {"messages", {{{"role", "user"}, {"content", "Who?"}}}},
                     {"seed", 3},
                     {"max_tokens", 400},
                     {"response_format",
                      {{"type", "json_schema"},
                       {"json_schema",
                        {{"name", "person"},
                         {"schema",
                          {{"type", "object"},
                           {"properties", {{"age", {{"type", "integer"}}}, {"kind", {{"enum", {"cat", "dog"}}}}}},
                           {"required", {"age", "kind"}}}}}}}}};
  auto answering = service->BeginChat(body.dump());
  ASSERT_THAT(answering, IsOk());
  MemoryWriter writer;
  EXPECT_TRUE((*answering)->Write(writer));
  const json answer = json::parse(writer.body);
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  const json person = json::parse(answer["choices"][0]["message"]["content"].get<std::string>());
  EXPECT_TRUE(person["age"].is_number_integer());
  EXPECT_TRUE(person["kind"] == "cat" || person["kind"] == "dog");
}

TEST_F(ApiServiceTest, TheModelFieldChoosesTheAdapter) {
  const auto service = MakeService();
  ASSERT_THAT(service->Serve({MakeAdapter("home", 3), MakeAdapter("garden", 4)}), IsOk());
  const json base = Completed(*service, CompletionBody({{"temperature", 0}}));
  const json home = Completed(*service, CompletionBody({{"temperature", 0}, {"model", "home"}}));
  EXPECT_EQ(home["system_fingerprint"], "base-0123456789ab/home@3-1003");
  EXPECT_NE(home["choices"][0]["text"], base["choices"][0]["text"]);
  EXPECT_THAT(service->BeginCompletion(CompletionBody({{"model", "attic"}})),
              HasStatus(StatusCode::kNotFound, "no model \"attic\" here; there are base, home, garden"));
  const json models = json::parse(service->Models());
  ASSERT_EQ(models["data"].size(), 3u);
  EXPECT_EQ(models["data"][1]["id"], "home");
  EXPECT_THAT(service->Model("garden"), IsOk());
  EXPECT_THAT(service->Model("attic"), HasStatus(StatusCode::kNotFound, "attic"));
  EXPECT_THAT(service->Serve({MakeAdapter("base", 1)}), HasStatus(StatusCode::kInvalidArgument, "base"));
}

TEST_F(ApiServiceTest, ARequestKeepsTheVersionThatItBeganWith) {
  const auto service = MakeService();
  ServedAdapter served = MakeAdapter("home", 3);
  const std::weak_ptr<const Adapter> replaced = served.adapter;
  ASSERT_THAT(service->Serve({std::move(served)}), IsOk());
  const std::string body = CompletionBody({{"model", "home"}, {"seed", 1}});
  const json alone = Completed(*service, body);
  auto answering = service->BeginCompletion(body);
  ASSERT_THAT(service->Serve({MakeAdapter("home", 4)}), IsOk());
  MemoryWriter writer;
  EXPECT_TRUE((*answering)->Write(writer));
  const json answer = json::parse(writer.body);
  EXPECT_EQ(answer["system_fingerprint"], alone["system_fingerprint"]);
  EXPECT_EQ(answer["choices"], alone["choices"]);
  EXPECT_FALSE(replaced.expired());
  answering->reset();
  EXPECT_TRUE(replaced.expired());  // no kept prompt holds it
  EXPECT_EQ(Completed(*service, body)["system_fingerprint"], "base-0123456789ab/home@4-1004");
}

// Eight requests at once, of several adapters, seeds and lengths: each answer is the one that it gets alone.
TEST_F(ApiServiceTest, RequestsAtTheSameTimeChangeNothing) {
  constexpr uint32_t kRequests = 8;
  const std::vector<ServedAdapter> adapters = {MakeAdapter("home", 3), MakeAdapter("garden", 4)};
  const auto body = [](uint32_t i) {
    const char* const models[] = {"base", "home", "garden"};
    const std::string prompt = i % 2 == 0 ? "Once upon a time" : "The cat and the dog went to the park. The cat and the";
    return CompletionBody({{"model", models[i % 3]},
                           {"prompt", prompt},
                           {"max_tokens", 10 + 9 * i},
                           {"seed", i},
                           {"temperature", 0.1 * i}});
  };
  const auto together = MakeService({.running = kRequests});
  ASSERT_THAT(together->Serve(adapters), IsOk());
  std::vector<json> answers(kRequests);
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kRequests; ++i) {
    threads.emplace_back([&, i] { answers[i] = Completed(*together, body(i)); });
  }
  for (std::thread& thread : threads) thread.join();
  const auto alone = MakeService({.running = 1, .draft_tokens = 0});
  ASSERT_THAT(alone->Serve(adapters), IsOk());
  uint32_t accepted = 0;
  for (uint32_t i = 0; i < kRequests; ++i) {
    EXPECT_EQ(answers[i]["choices"], Completed(*alone, body(i))["choices"]) << i;
    accepted += answers[i]["usage"]["completion_tokens_details"]["accepted_prediction_tokens"].get<uint32_t>();
  }
  EXPECT_GT(accepted, 0u);
}

TEST_F(ApiServiceTest, CountsWhatAnswersCameTo) {
  const auto service = MakeService({.limits = {.time_budget = kMaxTimeBudget}});
  const json answer = Completed(*service, CompletionBody({{"temperature", 0}}));
  const json again = Completed(*service, CompletionBody({{"temperature", 0}}));
  const AnswerFigures figures = service->figures();
  EXPECT_EQ(figures.answers, 2u);
  EXPECT_EQ(figures.in_budget, 2u);
  EXPECT_EQ(figures.written_tokens, 24u);
  const uint64_t kept = again["usage"]["prompt_tokens_details"]["cached_tokens"];
  EXPECT_EQ(figures.read_tokens, 2 * answer["usage"]["prompt_tokens"].get<uint64_t>() - kept);
  EXPECT_GT(*figures.writing_speed(), 0);
  auto answering = service->BeginCompletion(CompletionBody({{"stream", true}}));
  MemoryWriter nobody(0);
  EXPECT_FALSE((*answering)->Write(nobody));
  EXPECT_EQ(service->figures(), figures);
}

TEST_F(ApiServiceTest, AFullQueueIsSaidToBe) {
  const auto service = MakeService({.running = 1, .waiting = 0});
  auto running = service->BeginCompletion(CompletionBody());
  ASSERT_THAT(running, IsOk());
  EXPECT_THAT(service->BeginCompletion(CompletionBody()), HasStatus(StatusCode::kResourceExhausted, "try again"));
  EXPECT_THAT(service->Embeddings(R"({"model": "base", "input": "a"})"), HasStatus(StatusCode::kResourceExhausted, "try again"));
  running->reset();
  EXPECT_THAT(service->BeginCompletion(CompletionBody()), IsOk());
}

TEST_F(ApiServiceTest, NobodyReadsSoNothingIsMade) {
  const auto service = MakeService();
  auto answering = service->BeginCompletion(CompletionBody({{"stream", true}, {"max_tokens", 200}}));
  MemoryWriter writer(3);
  EXPECT_FALSE((*answering)->Write(writer));
  EXPECT_EQ(writer.writes, 3u);
  EXPECT_EQ(writer.body.find("[DONE]"), std::string::npos);
}

TEST_F(ApiServiceTest, ClosingEndsAnswersAsTheyAre) {
  const auto service = MakeService({.draft_tokens = 0});
  auto answering = service->BeginCompletion(CompletionBody({{"stream", true}, {"max_tokens", 200}}));
  MemoryWriter writer;
  writer.on_write = [&] { service->Close(); };
  EXPECT_TRUE((*answering)->Write(writer));
  EXPECT_LT(writer.writes, AnswerMail::kMostUnread + 5);
  EXPECT_TRUE(writer.body.ends_with("data: [DONE]\n\n"));
  EXPECT_THAT(service->BeginCompletion(CompletionBody()), HasStatus(StatusCode::kUnavailable, "stopping"));
}

TEST_F(ApiServiceTest, RefusesAPromptThatFillsTheContext) {
  const auto service = MakeService();
  std::string prompt;
  for (int i = 0; i < 4000; ++i) prompt += "a b ";
  EXPECT_THAT(service->BeginCompletion(CompletionBody({{"prompt", prompt}})),
              HasStatus(StatusCode::kInvalidArgument, "must fit the context"));
  const json body = {{"model", "base"}, {"input", prompt}};
  EXPECT_THAT(service->Embeddings(body.dump()), HasStatus(StatusCode::kInvalidArgument, "must fit the context"));
}

TEST_F(ApiServiceTest, EmbedsEveryInput) {
  const auto service = MakeService();
  ASSERT_THAT(service->Serve({MakeAdapter("home", 3)}), IsOk());
  const auto embed = [&](const std::string& model) {
    const auto body = service->Embeddings(json({{"model", model}, {"input", {"a cat", "a dog"}}}).dump());
    EXPECT_THAT(body, IsOk());
    return json::parse(*body);
  };
  const json base = embed("base");
  ASSERT_EQ(base["data"].size(), 2u);
  EXPECT_EQ(base["data"][0]["embedding"].size(), generator_->model()->shape().width);
  EXPECT_NE(base["data"][0]["embedding"], base["data"][1]["embedding"]);
  EXPECT_NE(base["data"][0]["embedding"], embed("home")["data"][0]["embedding"]);
}

TEST_F(ApiServiceTest, FeedbackOfARememberedAnswerReachesTheSink) {
  MemorySink sink;
  const auto service = MakeService({}, &sink);
  const json answer = Completed(*service, CompletionBody({{"temperature", 0}}));
  const json bad = {{"id", answer["id"]}, {"verdict", "bad"}, {"correction", " there was a cat."}};
  ASSERT_THAT(service->Feedback(bad.dump()), IsOk());
  ASSERT_EQ(sink.kept.size(), 1u);
  EXPECT_EQ(std::get<std::string>(sink.kept[0].prompt), "Once upon a time");
  EXPECT_EQ(sink.kept[0].answer, answer["choices"][0]["text"]);
  EXPECT_EQ(sink.kept[0].correction, " there was a cat.");
  const json same = {{"id", answer["id"]}, {"verdict", "bad"}, {"correction", answer["choices"][0]["text"]}};
  EXPECT_THAT(service->Feedback(same.dump()), HasStatus(StatusCode::kInvalidArgument, "correction"));
  EXPECT_THAT(service->Feedback(R"({"id": "cmpl-0", "verdict": "good"})"), HasStatus(StatusCode::kNotFound, "cmpl-0"));
  ASSERT_THAT(service->Feedback(R"({"prompt": "p", "answer": "a", "verdict": "good"})"), IsOk());
  EXPECT_EQ(sink.kept[1].answer, "a");
}

TEST_F(ApiServiceTest, WithoutConsentNothingIsKeptNorRemembered) {
  const auto service = MakeService();
  const json answer = Completed(*service, CompletionBody());
  EXPECT_THAT(service->Feedback(json({{"id", answer["id"]}, {"verdict", "good"}}).dump()),
              HasStatus(StatusCode::kPermissionDenied, "not kept"));
}

}  // namespace
}  // namespace fleetune
