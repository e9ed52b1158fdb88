#include "tests/integration/wiretap.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace fleetune {
namespace {

struct ContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Context = std::unique_ptr<SSL_CTX, ContextDeleter>;
struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using Ssl = std::unique_ptr<SSL, SslDeleter>;

constexpr std::array<uint8_t, 3> kHttp2 = {2, 'h', '2'};

int ChooseHttp2(SSL*, const uint8_t** chosen, uint8_t* size, const uint8_t*, unsigned, void*) {
  *chosen = kHttp2.data() + 1;
  *size = kHttp2[0];
  return SSL_TLSEXT_ERR_OK;
}

Context MakeContext(const SSL_METHOD* method, const std::string& key, const std::string& certificate) {
  Context context(SSL_CTX_new(method));
  CHECK(context != nullptr);
  CHECK(SSL_CTX_use_certificate_chain_file(context.get(), certificate.c_str()) == 1);
  CHECK(SSL_CTX_use_PrivateKey_file(context.get(), key.c_str(), SSL_FILETYPE_PEM) == 1);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// One direction: bytes that came out of one end and wait to go into the other.
struct Pipe {
  SSL* from;
  SSL* to;
  Bytes waiting;

  // What is there now, appended to `waiting`. False at the end of the connection.
  bool Read() {
    std::array<uint8_t, 16384> part;
    for (;;) {
      const int size = SSL_read(from, part.data(), part.size());
      if (size <= 0) return SSL_get_error(from, size) == SSL_ERROR_WANT_READ;
      waiting.insert(waiting.end(), part.begin(), part.begin() + size);
    }
  }
  bool Write() {
    while (!waiting.empty()) {
      const int size = SSL_write(to, waiting.data(), static_cast<int>(waiting.size()));
      if (size <= 0) return SSL_get_error(to, size) == SSL_ERROR_WANT_WRITE;
      waiting.erase(waiting.begin(), waiting.begin() + size);
    }
    return true;
  }
};

}  // namespace

struct Wiretap::Contexts {
  Context server;
  Context client;
};

Wiretap::Wiretap(WiretapKeys keys, uint16_t coordinator_port, Listener listener)
    : contexts_(std::make_unique<Contexts>()), coordinator_port_(coordinator_port), listener_(std::move(listener)) {
  signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to sockets whose other end may be gone
  contexts_->server = MakeContext(TLS_server_method(), keys.server_key, keys.server_certificate);
  SSL_CTX_set_alpn_select_cb(contexts_->server.get(), ChooseHttp2, nullptr);
  contexts_->client = MakeContext(TLS_client_method(), keys.device_key, keys.device_certificate);
  CHECK(SSL_CTX_set_alpn_protos(contexts_->client.get(), kHttp2.data(), kHttp2.size()) == 0);

  listening_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(listening_ >= 0);
  sockaddr_in address = Loopback(0);
  CHECK(bind(listening_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  CHECK(listen(listening_, 16) == 0);
  socklen_t size = sizeof(address);
  CHECK(getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(address.sin_port);
  accepting_ = std::thread([this] { Accept(); });
}

Wiretap::~Wiretap() {
  {
    const std::lock_guard lock(mutex_);
    Cut();
  }
  accepting_.join();
  for (std::thread& connection : connections_) connection.join();
  close(listening_);
}

void Wiretap::Accept() {
  for (int connection = 0;; ++connection) {
    const int device = accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
    if (device < 0) return;
    const std::lock_guard lock(mutex_);
    connections_.emplace_back([this, connection, device] { Serve(connection, device); });
  }
}

void Wiretap::Serve(int connection, int device) {
  const int coordinator = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(coordinator >= 0);
  const bool kept = Keep(device) && Keep(coordinator);
  sockaddr_in address = Loopback(coordinator_port_);
  Ssl to_device(SSL_new(contexts_->server.get()));
  Ssl to_coordinator(SSL_new(contexts_->client.get()));
  CHECK(SSL_set_fd(to_device.get(), device) == 1 && SSL_set_fd(to_coordinator.get(), coordinator) == 1);
  if (kept && SSL_accept(to_device.get()) == 1 &&
      connect(coordinator, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
      SSL_connect(to_coordinator.get()) == 1) {
    fcntl(device, F_SETFL, O_NONBLOCK);
    fcntl(coordinator, F_SETFL, O_NONBLOCK);
    Pipe up{to_device.get(), to_coordinator.get(), {}};
    Pipe down{to_coordinator.get(), to_device.get(), {}};
    for (bool open = true; open && !cut_;) {
      const size_t before = up.waiting.size();
      open = up.Read();
      if (up.waiting.size() > before && !Heard(connection, std::span(up.waiting).subspan(before))) break;
      open = down.Read() && open;
      if (!up.Write() || !down.Write()) break;
      std::array<pollfd, 2> ends = {{{device, POLLIN, 0}, {coordinator, POLLIN, 0}}};
      if (!down.waiting.empty()) ends[0].events |= POLLOUT;
      if (!up.waiting.empty()) ends[1].events |= POLLOUT;
      if (open) poll(ends.data(), ends.size(), -1);
    }
  }
  Drop(device);
  Drop(coordinator);
}

bool Wiretap::Heard(int connection, std::span<const uint8_t> bytes) {
  const std::lock_guard lock(mutex_);
  if (cut_) return false;
  if (!listener_(connection, bytes)) Cut();
  return !cut_;
}

bool Wiretap::Keep(int socket) {
  const std::lock_guard lock(mutex_);
  sockets_.insert(socket);
  return !cut_;
}

void Wiretap::Drop(int socket) {
  const std::lock_guard lock(mutex_);
  sockets_.erase(socket);
  close(socket);
}

void Wiretap::Cut() {
  cut_ = true;
  shutdown(listening_, SHUT_RDWR);
  for (const int socket : sockets_) shutdown(socket, SHUT_RDWR);
}

}  // namespace fleetune
