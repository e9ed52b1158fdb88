#include "base/crypto/pinned_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <string>
#include <thread>

#include "base/check.h"
#include "base/crypto/certificate.h"
#include "base/crypto/openssl_handles.h"
#include "base/crypto/x509_pem.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using std::chrono::hours;

const TimePoint kNow = FromMillis(1'800'000'000'000);

// Listens on a port of 127.0.0.1 that the system chooses, and serves one connection.
class LocalServer {
 public:
  explicit LocalServer(std::function<void(int)> serve)
      : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    socklen_t size = sizeof(address);
    CHECK(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    CHECK(::listen(listener_, 1) == 0);
    if (serve == nullptr) return;
    thread_ = std::thread([this, serve = std::move(serve)] {
      // The peer may hang up while OpenSSL writes. Blocked in this thread only: that the code
      // under test raises no SIGPIPE is a part of the test.
      sigset_t pipe;
      sigemptyset(&pipe);
      sigaddset(&pipe, SIGPIPE);
      CHECK(pthread_sigmask(SIG_BLOCK, &pipe, nullptr) == 0);
      const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) return;
      serve(connection);
      ::close(connection);
    });
  }
  ~LocalServer() {
    ::shutdown(listener_, SHUT_RDWR);  // wakes accept()
    if (thread_.joinable()) thread_.join();
    ::close(listener_);
  }
  LocalServer(const LocalServer&) = delete;
  LocalServer& operator=(const LocalServer&) = delete;

  uint16_t port() const { return port_; }

 private:
  int listener_;
  uint16_t port_ = 0;
  std::thread thread_;
};

struct TlsOptions {
  KeyAndCertificate own;
  std::string ca_pem;  // shown too unless empty
  int max_version = TLS1_3_VERSION;
  bool wants_client_certificate = false;
};

int SelectH2(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned size, void*) {
  static constexpr unsigned char kH2[] = {2, 'h', '2'};  // what is selected points into it
  unsigned char* selected = nullptr;
  if (SSL_select_next_proto(&selected, out_size, kH2, sizeof(kH2), in, size) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

// Serves a TLS handshake as a gRPC server does: it insists on ALPN "h2".
std::function<void(int)> TlsServer(const TlsOptions& options) {
  return [options](int connection) {
    const openssl::TlsContext context(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_set_max_proto_version(context.get(), options.max_version);
    SSL_CTX_set_alpn_select_cb(context.get(), SelectH2, nullptr);
    const openssl::Certificate own = *openssl::ReadCertificate(options.own.certificate_pem);
    const openssl::Key key = *openssl::ReadPrivateKey(options.own.key_pem);
    CHECK(SSL_CTX_use_certificate(context.get(), own.get()) == 1);
    CHECK(SSL_CTX_use_PrivateKey(context.get(), key.get()) == 1);
    if (!options.ca_pem.empty()) {
      const openssl::Certificate ca = *openssl::ReadCertificate(options.ca_pem);
      CHECK(SSL_CTX_add1_chain_cert(context.get(), ca.get()) == 1);
    }
    if (options.wants_client_certificate) {
      SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    const openssl::Tls tls(SSL_new(context.get()));
    SSL_set_fd(tls.get(), connection);
    (void)SSL_accept(tls.get());
    ERR_clear_error();
  };
}

class PinnedPeerTest : public testing::Test {
 protected:
  // The fleet's own server.
  TlsOptions Genuine() const {
    return {.own = *ca_.IssueServer({"127.0.0.1", "localhost"}, kNow, hours(24)), .ca_pem = ca_.pem().certificate_pem};
  }
  PinnedPeer Peer(const LocalServer& server) const {
    return {.host = "127.0.0.1",
            .port = server.port(),
            .ca_fingerprint = *CertificateFingerprint(ca_.pem().certificate_pem)};
  }

  const CertificateAuthority ca_ = *CertificateAuthority::Create("test-fleet", kNow);
};

TEST_F(PinnedPeerTest, GivesTheCaThatHasTheFingerprint) {
  const LocalServer server(TlsServer(Genuine()));
  const auto ca = FetchPinnedCa(Peer(server), kNow);
  ASSERT_THAT(ca, IsOk());
  EXPECT_EQ(*ca, ca_.pem().certificate_pem);
}

TEST_F(PinnedPeerTest, WorksByNameAndWithAServerThatWantsACertificate) {
  TlsOptions options = Genuine();
  options.wants_client_certificate = true;
  const LocalServer server(TlsServer(options));
  PinnedPeer peer = Peer(server);
  peer.host = "localhost";
  EXPECT_THAT(FetchPinnedCa(peer, kNow), IsOk());
}

TEST_F(PinnedPeerTest, AnotherFingerprintIsUnauthenticated) {
  const LocalServer server(TlsServer(Genuine()));
  PinnedPeer peer = Peer(server);
  peer.ca_fingerprint.bytes[31] ^= 1;
  EXPECT_THAT(FetchPinnedCa(peer, kNow), HasStatus(StatusCode::kUnauthenticated, "none of the 2 certificates"));
}

TEST_F(PinnedPeerTest, AServerThatHidesItsCaIsUnauthenticated) {
  TlsOptions options = Genuine();
  options.ca_pem.clear();
  const LocalServer server(TlsServer(options));
  EXPECT_THAT(FetchPinnedCa(Peer(server), kNow), HasStatus(StatusCode::kUnauthenticated, "none of the 1 certificates"));
}

TEST_F(PinnedPeerTest, ALiarThatShowsTheRightCaIsUnauthenticated) {
  const CertificateAuthority other = *CertificateAuthority::Create("test-fleet", kNow);
  TlsOptions options = Genuine();
  options.own = *other.IssueServer({"127.0.0.1"}, kNow, hours(24));
  const LocalServer server(TlsServer(options));
  EXPECT_THAT(FetchPinnedCa(Peer(server), kNow), HasStatus(StatusCode::kUnauthenticated, "refused"));
}

TEST_F(PinnedPeerTest, ADeviceThatPlaysTheServerIsUnauthenticated) {
  const KeyAndRequest request = *MakeCertificateRequest(SigningKey::Generate().verify_key());
  TlsOptions options = Genuine();
  options.own = {.key_pem = request.key_pem,
                 .certificate_pem = *ca_.IssueDevice(request.request_pem, "127.0.0.1", kNow, hours(24))};
  const LocalServer server(TlsServer(options));
  EXPECT_THAT(FetchPinnedCa(Peer(server), kNow), HasStatus(StatusCode::kUnauthenticated, "refused"));
}

TEST_F(PinnedPeerTest, APinnedServerCertificateIsNoCa) {
  const TlsOptions options = Genuine();
  const LocalServer server(TlsServer(options));
  PinnedPeer peer = Peer(server);
  peer.ca_fingerprint = *CertificateFingerprint(options.own.certificate_pem);
  EXPECT_THAT(FetchPinnedCa(peer, kNow), HasStatus(StatusCode::kUnauthenticated, "none of a CA"));
}

TEST_F(PinnedPeerTest, AnotherHostIsUnauthenticated) {
  TlsOptions options = Genuine();
  options.own = *ca_.IssueServer({"b.example"}, kNow, hours(24));
  const LocalServer server(TlsServer(options));
  EXPECT_THAT(FetchPinnedCa(Peer(server), kNow), HasStatus(StatusCode::kUnauthenticated, "127.0.0.1"));
}

TEST_F(PinnedPeerTest, AnExpiredServerIsUnauthenticated) {
  const LocalServer server(TlsServer(Genuine()));
  EXPECT_THAT(FetchPinnedCa(Peer(server), kNow + hours(25)), HasStatus(StatusCode::kUnauthenticated, "expired"));
}

TEST_F(PinnedPeerTest, OlderTlsIsUnauthenticated) {
  TlsOptions options = Genuine();
  options.max_version = TLS1_2_VERSION;
  const LocalServer server(TlsServer(options));
  EXPECT_THAT(FetchPinnedCa(Peer(server), kNow), HasStatus(StatusCode::kUnauthenticated, "no TLS 1.3 handshake"));
}

TEST_F(PinnedPeerTest, APlainTextPeerIsUnauthenticated) {
  const LocalServer server([](int connection) {
    constexpr char kText[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    (void)::send(connection, kText, std::strlen(kText), MSG_NOSIGNAL);
    char ignored[4096];
    while (::recv(connection, ignored, sizeof(ignored), 0) > 0) {
    }
  });
  EXPECT_THAT(FetchPinnedCa(Peer(server), kNow), HasStatus(StatusCode::kUnauthenticated, "no TLS 1.3 handshake"));
}

TEST_F(PinnedPeerTest, APeerThatHangsUpIsUnavailable) {
  const LocalServer server([](int connection) {
    char ignored[4096];
    (void)::recv(connection, ignored, sizeof(ignored), 0);
  });
  EXPECT_THAT(FetchPinnedCa(Peer(server), kNow), HasStatus(StatusCode::kUnavailable, "127.0.0.1"));
}

TEST_F(PinnedPeerTest, ASilentPeerIsUnavailableAfterTheTimeout) {
  const LocalServer server(nullptr);  // the system takes the connection, nobody answers
  PinnedPeer peer = Peer(server);
  peer.timeout = std::chrono::milliseconds(30);
  EXPECT_THAT(FetchPinnedCa(peer, kNow), HasStatus(StatusCode::kUnavailable, "within 30 ms"));
}

TEST_F(PinnedPeerTest, AnUnreachablePortIsUnavailable) {
  PinnedPeer peer;
  {
    const LocalServer server(nullptr);
    peer = Peer(server);
  }  // nobody listens there any more
  EXPECT_THAT(FetchPinnedCa(peer, kNow), HasStatus(StatusCode::kUnavailable, "cannot connect to 127.0.0.1"));
}

TEST_F(PinnedPeerTest, NonsenseAddressesAreRefused) {
  EXPECT_THAT(FetchPinnedCa({.host = "", .port = 1, .ca_fingerprint = {}}, kNow),
              HasStatus(StatusCode::kInvalidArgument, "host and a port"));
  EXPECT_THAT(FetchPinnedCa({.host = "127.0.0.1", .port = 0, .ca_fingerprint = {}}, kNow),
              HasStatus(StatusCode::kInvalidArgument, "host and a port"));
  EXPECT_THAT(FetchPinnedCa({.host = "[::1]]:", .port = 1, .ca_fingerprint = {}}, kNow),
              HasStatus(StatusCode::kUnavailable, "cannot connect"));
}

}  // namespace
}  // namespace fleetune
