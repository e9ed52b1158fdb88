#include "inference/server/http_server.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "httplib.h"
#include "tests/support/service_fixture.h"

namespace fleetune {
namespace {

using nlohmann::json;

constexpr char kToken[] = "0123456789abcdef";

class HttpServerTest : public ServiceFixture {
 protected:
  void Start(ApiOptions options = {}, FeedbackSink* sink = nullptr) {
    service_ = MakeService(options, sink);
    auto server = HttpServer::Start(*service_, {.listen = *ParseLoopbackAddress("127.0.0.1:0"), .token = kToken});
    ASSERT_THAT(server, IsOk());
    server_ = *std::move(server);
  }
  httplib::Client Client(const std::string& token = kToken) const {
    httplib::Client client("127.0.0.1", server_->port());
    client.set_default_headers({{"Authorization", "Bearer " + token}});
    client.set_read_timeout(120);
    return client;
  }
  static json Body(const httplib::Result& result) {
    EXPECT_TRUE(result);
    return result ? json::parse(result->body, nullptr, /*allow_exceptions=*/false) : json();
  }
  // A connection without any library, on which one request was sent.
  int Ask(const std::string& path, const std::string& body) const {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(server_->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    const std::string request = "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + kToken +
                                "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
                                "\r\n\r\n" + body;
    EXPECT_EQ(::send(fd, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
    return fd;
  }

  std::unique_ptr<ApiService> service_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, AsksForItsToken) {
  Start();
  EXPECT_EQ(Client("").Get("/health")->status, 200);
  for (const char* token : {"", "0123456789abcdee"}) {
    const auto refused = Client(token).Post("/v1/completions", CompletionBody(), "application/json");
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->status, 401);
    EXPECT_EQ(refused->get_header_value("WWW-Authenticate"), "Bearer");
    EXPECT_EQ(Body(refused)["error"]["code"], "invalid_api_key");
    EXPECT_EQ(Client(token).Get("/v1/models")->status, 401);
    EXPECT_EQ(Client(token).Post("/v1/feedback", "{}", "application/json")->status, 401);
  }
  EXPECT_EQ(Body(Client().Get("/v1/models"))["data"][0]["id"], "base");
}

TEST_F(HttpServerTest, AnswersAsAWholeAndAsAStream) {
  Start();
  httplib::Client client = Client();
  const auto whole = client.Post("/v1/completions", CompletionBody({{"seed", 2}}), "application/json");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->status, 200);
  EXPECT_EQ(whole->get_header_value("Content-Type"), "application/json");
  const auto stream = client.Post("/v1/completions", {{"Accept-Encoding", "gzip, br"}},
                                  CompletionBody({{"seed", 2}, {"stream", true}}), "application/json");
  ASSERT_TRUE(stream);
  EXPECT_EQ(stream->get_header_value("Content-Type"), "text/event-stream");
  std::string text, rest = stream->body;
  for (size_t end = 0; (end = rest.find("\n\n")) != std::string::npos; rest.erase(0, end + 2)) {
    const std::string data = rest.substr(6, end - 6);
    if (data != "[DONE]") text += json::parse(data)["choices"][0]["text"].get<std::string>();
  }
  EXPECT_EQ(text, Body(whole)["choices"][0]["text"]);
  EXPECT_TRUE(stream->body.ends_with("data: [DONE]\n\n"));
}

TEST_F(HttpServerTest, ErrorsAreInTheApisForm) {
  Start({.limits = {.max_body_bytes = 2000}});
  httplib::Client client = Client();
  const auto wrong = client.Post("/v1/chat/completions", R"({"model": "base", "messages": []})", "application/json");
  EXPECT_EQ(wrong->status, 400);
  EXPECT_EQ(Body(wrong)["error"]["param"], "messages");
  const auto model = client.Post("/v1/completions", CompletionBody({{"model", "gpt"}}), "application/json");
  EXPECT_EQ(model->status, 404);
  EXPECT_EQ(Body(model)["error"]["code"], "model_not_found");
  EXPECT_EQ(Body(client.Get("/v1/models/gpt"))["error"]["code"], "model_not_found");
  const auto path = client.Get("/v2");
  EXPECT_EQ(path->status, 404);
  EXPECT_EQ(Body(path)["error"]["message"], "no GET /v2 here");
  const auto large = Client().Post("/v1/completions", CompletionBody({{"prompt", std::string(2000, 'a')}}), "application/json");
  ASSERT_TRUE(large);
  EXPECT_EQ(large->status, 413);
  EXPECT_EQ(Body(large)["error"]["message"], "the body is too large");
  const auto feedback = Client().Post("/v1/feedback", R"({"id": "x", "verdict": "good"})", "application/json");
  EXPECT_EQ(feedback->status, 403);
}

TEST_F(HttpServerTest, AFullQueueAnswers429) {
  Start({.running = 1, .waiting = 0});
  auto running = service_->BeginCompletion(CompletionBody());
  ASSERT_THAT(running, IsOk());
  const auto refused = Client().Post("/v1/completions", CompletionBody(), "application/json");
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 429);
  EXPECT_EQ(refused->get_header_value("Retry-After"), "1");
  EXPECT_EQ(Body(refused)["error"]["type"], "rate_limit_error");
  running->reset();
  EXPECT_EQ(Client().Post("/v1/completions", CompletionBody(), "application/json")->status, 200);
}

TEST_F(HttpServerTest, ACutConnectionEndsItsAnswer) {
  Start({.running = 1, .waiting = 1});
  for (const bool stream : {true, false}) {
    // More than the little model writes while the test runs: the answers would never end by themselves.
    const int fd = Ask("/v1/completions", CompletionBody({{"stream", stream}, {"max_tokens", 4096}, {"prompt", ""},
                                                          {"response_format", nullptr}, {"stop", nullptr}}));
    char byte = 0;
    ASSERT_EQ(::recv(fd, &byte, 1, 0), 1);  // its headers: it is being answered
    ::close(fd);
    // Its turn is given back.
    const auto next = Client().Post("/v1/completions", CompletionBody({{"max_tokens", 1}}), "application/json");
    ASSERT_TRUE(next);
    EXPECT_EQ(next->status, 200);
  }
}

TEST_F(HttpServerTest, ManyConnectionsAtOnce) {
  Start({.running = 3, .waiting = 8});
  std::vector<std::thread> clients;
  std::vector<std::string> texts(8);
  for (size_t i = 0; i < texts.size(); ++i) {
    clients.emplace_back([&, i] {
      texts[i] = Body(Client().Post("/v1/completions", CompletionBody({{"seed", 7}}), "application/json"))["choices"][0]["text"];
    });
  }
  for (std::thread& client : clients) client.join();
  for (const std::string& text : texts) EXPECT_EQ(text, texts[0]);
  EXPECT_FALSE(texts[0].empty());
}

TEST_F(HttpServerTest, EmbeddingsAndFeedback) {
  MemorySink sink;
  Start({}, &sink);
  const json embedded = Body(Client().Post("/v1/embeddings", R"({"model": "base", "input": "a cat"})", "application/json"));
  EXPECT_EQ(embedded["data"][0]["embedding"].size(), generator_->model()->shape().width);
  const json answer = Body(Client().Post("/v1/completions", CompletionBody(), "application/json"));
  const json good = {{"id", answer["id"]}, {"verdict", "good"}};
  EXPECT_EQ(Body(Client().Post("/v1/feedback", good.dump(), "application/json"))["kept"], true);
  ASSERT_EQ(sink.kept.size(), 1u);
  EXPECT_EQ(sink.kept[0].answer, answer["choices"][0]["text"]);
}

TEST_F(HttpServerTest, StopsWhileItAnswers) {
  Start();
  const int fd = Ask("/v1/completions", CompletionBody({{"stream", true}, {"max_tokens", 4096}}));
  char byte = 0;
  ASSERT_EQ(::recv(fd, &byte, 1, 0), 1);
  server_.reset();  // returns
  ::close(fd);
  EXPECT_THAT(service_->BeginCompletion(CompletionBody()), HasStatus(absl::StatusCode::kUnavailable, "stopping"));
}

TEST_F(HttpServerTest, APortThatIsTakenIsSaidToBe) {
  Start();
  const auto second = HttpServer::Start(
      *service_, {.listen = {.host = "127.0.0.1", .port = server_->port()}, .token = kToken});
  EXPECT_THAT(second, HasStatus(absl::StatusCode::kUnavailable, "cannot listen on 127.0.0.1"));
}

}  // namespace
}  // namespace fleetune
