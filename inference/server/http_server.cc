#include "inference/server/http_server.h"

#include <sys/socket.h>

#include <atomic>
#include <thread>
#include <utility>

#include "fmt/format.h"
#include "httplib.h"
#include "inference/server/access_token.h"
#include "inference/server/api_error.h"

namespace fleetune {
namespace {

constexpr char kJson[] = "application/json";
constexpr char kEvents[] = "text/event-stream";
// Threads beside those of answers and of who waits for one: to say that the queue is full, and for short calls.
constexpr size_t kShortThreads = 8;
// Seconds. Of reading a request and of writing to a client that does not read; of an idle connection.
constexpr time_t kTransferTimeout = 30;
constexpr time_t kIdleTimeout = 2;
constexpr size_t kRequestsOfConnection = 1000;

void AnswerError(const absl::Status& status, httplib::Response& response) {
  const ApiError error = ToApiError(status);
  response.status = error.http_status;
  if (error.http_status == 429) response.set_header("Retry-After", "1");
  if (error.http_status == 401) response.set_header("WWW-Authenticate", "Bearer");
  response.set_content(FormatError(error), kJson);
}

// What httplib itself refuses comes without a body.
void DescribeFailure(const httplib::Request& request, httplib::Response& response) {
  if (!response.body.empty()) return;
  ApiError error = {.http_status = response.status, .message = {}, .type = "invalid_request_error", .param = {}, .code = {}};
  switch (response.status) {
    case 404: error.message = fmt::format("no {} {} here", request.method, request.path); break;
    case 413: error.message = "the body is too large"; break;
    default: error.message = fmt::format("HTTP status {}", response.status);
  }
  response.set_content(FormatError(error), kJson);
}

class SinkWriter final : public BodyWriter {
 public:
  explicit SinkWriter(httplib::DataSink& sink) : sink_(sink) {}
  bool Write(std::string_view bytes) override { return sink_.write(bytes.data(), bytes.size()); }
  bool IsOpen() override { return sink_.is_writable(); }

 private:
  httplib::DataSink& sink_;
};

}  // namespace

class HttpServer::Routes {
 public:
  Routes(ApiService& service, std::string token) : service_(service), token_(std::move(token)) {
    const size_t threads = service.options().running + service.options().waiting + kShortThreads;
    server_.new_task_queue = [threads] { return new httplib::ThreadPool(threads); };  // httplib owns it
    server_.set_payload_max_length(service.options().limits.max_body_bytes);
    // Not httplib's own, which lets other processes listen on the same port (SO_REUSEPORT).
    server_.set_socket_options([](int fd) {
      const int yes = 1;
      (void)::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    server_.set_tcp_nodelay(true);
    server_.set_read_timeout(kTransferTimeout);
    server_.set_write_timeout(kTransferTimeout);
    server_.set_keep_alive_timeout(kIdleTimeout);
    server_.set_keep_alive_max_count(kRequestsOfConnection);
    server_.set_error_handler(httplib::Server::Handler(DescribeFailure));
    Add();
  }
  ~Routes() {
    if (!thread_.joinable()) return;
    service_.Close();
    server_.stop();
    thread_.join();
  }

  absl::StatusOr<uint16_t> Listen(const LoopbackAddress& address) {
    int port = address.port;
    const bool bound = port == 0 ? (port = server_.bind_to_any_port(address.host)) > 0
                                 : server_.bind_to_port(address.host, port);
    if (!bound) return absl::UnavailableError(fmt::format("cannot listen on {}:{}", address.host, address.port));
    thread_ = std::thread([this] {
      server_.listen_after_bind();
      ended_ = true;
    });
    // stop() does nothing before it runs.
    while (!server_.is_running() && !ended_) std::this_thread::yield();
    return static_cast<uint16_t>(port);
  }

 private:
  using Handler = void (Routes::*)(const httplib::Request&, httplib::Response&);

  httplib::Server::Handler Guarded(Handler handler) {
    return [this, handler](const httplib::Request& request, httplib::Response& response) {
      if (!IsAuthorized(request.get_header_value("Authorization"), token_)) {
        return AnswerError(absl::UnauthenticatedError("expected \"Authorization: Bearer TOKEN\" with this server's token"),
                           response);
      }
      (this->*handler)(request, response);
    };
  }

  void Add() {
    server_.Get("/health", [](const httplib::Request&, httplib::Response& response) {
      response.set_content(R"({"status":"ok"})", kJson);
    });
    server_.Get("/v1/models", Guarded(&Routes::Models));
    server_.Get(R"(/v1/models/([^/]+))", Guarded(&Routes::Model));
    server_.Post("/v1/chat/completions", Guarded(&Routes::Chat));
    server_.Post("/v1/completions", Guarded(&Routes::Completion));
    server_.Post("/v1/embeddings", Guarded(&Routes::Embeddings));
    server_.Post("/v1/feedback", Guarded(&Routes::Feedback));
  }

  void Models(const httplib::Request& /*request*/, httplib::Response& response) {
    response.set_content(service_.Models(), kJson);
  }
  void Model(const httplib::Request& request, httplib::Response& response) {
    AnswerWhole(service_.Model(request.matches[1]), response);
  }
  void Chat(const httplib::Request& request, httplib::Response& response) {
    AnswerPiecewise(service_.BeginChat(request.body), response);
  }
  void Completion(const httplib::Request& request, httplib::Response& response) {
    AnswerPiecewise(service_.BeginCompletion(request.body), response);
  }
  void Embeddings(const httplib::Request& request, httplib::Response& response) {
    AnswerWhole(service_.Embeddings(request.body), response);
  }
  void Feedback(const httplib::Request& request, httplib::Response& response) {
    AnswerWhole(service_.Feedback(request.body), response);
  }

  static void AnswerWhole(const absl::StatusOr<std::string>& body, httplib::Response& response) {
    if (!body.ok()) return AnswerError(body.status(), response);
    response.set_content(*body, kJson);
  }

  // In chunks even where the body comes as a whole: only so httplib says whether the client is still there.
  static void AnswerPiecewise(absl::StatusOr<std::unique_ptr<ApiService::Answering>> begun,
                              httplib::Response& response) {
    if (!begun.ok()) return AnswerError(begun.status(), response);
    const std::shared_ptr<ApiService::Answering> answering = *std::move(begun);
    response.set_header("Cache-Control", "no-cache");
    response.set_chunked_content_provider(answering->stream() ? kEvents : kJson,
                                          [answering](size_t /*offset*/, httplib::DataSink& sink) {
                                            SinkWriter writer(sink);
                                            if (!answering->Write(writer)) return false;
                                            sink.done();
                                            return true;
                                          });
  }

  ApiService& service_;
  const std::string token_;
  httplib::Server server_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

HttpServer::HttpServer(std::unique_ptr<Routes> routes, uint16_t port) : routes_(std::move(routes)), port_(port) {}
HttpServer::~HttpServer() = default;

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(ApiService& service, const Options& options) {
  auto routes = std::make_unique<Routes>(service, options.token);
  absl::StatusOr<uint16_t> port = routes->Listen(options.listen);
  if (!port.ok()) return port.status();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(routes), *port));
}

}  // namespace fleetune
