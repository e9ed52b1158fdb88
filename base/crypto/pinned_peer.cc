#include "base/crypto/pinned_peer.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/check.h"
#include "base/crypto/x509_pem.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

std::string NameOf(const PinnedPeer& peer) { return peer.host + ":" + std::to_string(peer.port); }

// OK as soon as one of `events` is there; Unavailable at the deadline.
absl::Status Wait(int fd, short events, SteadyTime deadline, const PinnedPeer& peer) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      return absl::UnavailableError(NameOf(peer) + " did not answer within " +
                                    std::to_string(peer.timeout.count()) + " ms");
    }
    pollfd waiting{.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::min<int64_t>(left.count(), 60'000)));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) {
      return absl::UnavailableError("cannot wait for " + NameOf(peer) + ": " +
                                    std::strerror(errno));
    }
  }
}

// Tries the host's addresses one after the other. The BIO owns the socket.
absl::StatusOr<openssl::Bio> Connect(const PinnedPeer& peer, SteadyTime deadline) {
  openssl::Bio bio(BIO_new(BIO_s_connect()));
  CHECK(bio != nullptr);
  // An IPv6 address stands in brackets there, or its colons would be taken for a port's.
  const bool has_colon = peer.host.find(':') != std::string::npos;
  BIO_set_conn_hostname(bio.get(), (has_colon ? "[" + peer.host + "]" : peer.host).c_str());
  BIO_set_conn_port(bio.get(), std::to_string(peer.port).c_str());
  BIO_set_conn_ip_family(bio.get(), BIO_FAMILY_IPANY);
  BIO_set_nbio(bio.get(), 1);
  while (BIO_do_connect(bio.get()) <= 0) {
    if (!BIO_should_retry(bio.get())) {
      return absl::UnavailableError("cannot connect to " + NameOf(peer) + ": " +
                                    openssl::TakeError());
    }
    RETURN_IF_ERROR(Wait(static_cast<int>(BIO_get_fd(bio.get(), nullptr)), POLLOUT, deadline, peer));
  }
  ERR_clear_error();
  return bio;
}

openssl::Tls NewTls(const PinnedPeer& peer) {
  const openssl::TlsContext context(SSL_CTX_new(TLS_client_method()));
  CHECK(context != nullptr);
  CHECK(SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) == 1);
  // The fingerprint is the only trust there is: the chain is verified after the handshake.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  constexpr uint8_t kProtocols[] = {2, 'h', '2'};  // gRPC servers refuse a peer without it
  CHECK(SSL_CTX_set_alpn_protos(context.get(), kProtocols, sizeof(kProtocols)) == 0);
  openssl::Tls tls(SSL_new(context.get()));
  CHECK(tls != nullptr);
  if (!openssl::IsIpAddress(peer.host)) {
    // A name too long for it has not been resolved either.
    (void)SSL_set_tlsext_host_name(tls.get(), peer.host.c_str());
  }
  // TLS writes to memory and Exchange() moves the bytes, because OpenSSL's own socket
  // writes raise SIGPIPE when the peer hangs up.
  BIO* const from_peer = BIO_new(BIO_s_mem());
  BIO* const to_peer = BIO_new(BIO_s_mem());
  CHECK(from_peer != nullptr && to_peer != nullptr);
  BIO_set_mem_eof_return(from_peer, -1);
  SSL_set_bio(tls.get(), from_peer, to_peer);
  SSL_set_connect_state(tls.get());
  return tls;
}

absl::Status SendPending(SSL* tls, int fd, SteadyTime deadline, const PinnedPeer& peer) {
  std::array<char, 4096> piece;
  for (;;) {
    const int size = BIO_read(SSL_get_wbio(tls), piece.data(), static_cast<int>(piece.size()));
    if (size <= 0) return absl::OkStatus();
    for (int sent = 0; sent < size;) {
      RETURN_IF_ERROR(Wait(fd, POLLOUT, deadline, peer));
      const ssize_t now = ::send(fd, piece.data() + sent, static_cast<size_t>(size - sent),
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
      if (now < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (now < 0) {
        return absl::UnavailableError("cannot send to " + NameOf(peer) + ": " +
                                      std::strerror(errno));
      }
      sent += static_cast<int>(now);
    }
  }
}

absl::Status Receive(SSL* tls, int fd, SteadyTime deadline, const PinnedPeer& peer) {
  std::array<char, 4096> piece;
  for (;;) {
    RETURN_IF_ERROR(Wait(fd, POLLIN, deadline, peer));
    const ssize_t got = ::recv(fd, piece.data(), piece.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got < 0) {
      return absl::UnavailableError("cannot receive from " + NameOf(peer) + ": " +
                                    std::strerror(errno));
    }
    if (got == 0) {
      return absl::UnavailableError(NameOf(peer) + " hung up during the TLS handshake");
    }
    CHECK(BIO_write(SSL_get_rbio(tls), piece.data(), static_cast<int>(got)) == got);
    return absl::OkStatus();
  }
}

absl::Status Handshake(SSL* tls, int fd, SteadyTime deadline, const PinnedPeer& peer) {
  for (;;) {
    ERR_clear_error();
    const int result = SSL_do_handshake(tls);
    const int error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(tls, result);
    const std::string reason = openssl::TakeError();
    if (error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ) {
      (void)SendPending(tls, fd, deadline, peer);  // the alert, out of courtesy
      return absl::UnauthenticatedError(NameOf(peer) + " made no TLS 1.3 handshake: " + reason);
    }
    RETURN_IF_ERROR(SendPending(tls, fd, deadline, peer));
    if (error == SSL_ERROR_NONE) return absl::OkStatus();
    RETURN_IF_ERROR(Receive(tls, fd, deadline, peer));
  }
}

}  // namespace

absl::StatusOr<std::string> FetchPinnedCa(const PinnedPeer& peer, TimePoint now) {
  if (peer.host.empty() || peer.port == 0) {
    return absl::InvalidArgumentError("a coordinator's address needs a host and a port, got '" +
                                      NameOf(peer) + "'");
  }
  const SteadyTime deadline = std::chrono::steady_clock::now() + peer.timeout;
  ASSIGN_OR_RETURN(const openssl::Bio connection, Connect(peer, deadline));
  const openssl::Tls tls = NewTls(peer);
  const int fd = static_cast<int>(BIO_get_fd(connection.get(), nullptr));
  RETURN_IF_ERROR(Handshake(tls.get(), fd, deadline, peer));

  STACK_OF(X509)* const chain = SSL_get_peer_cert_chain(tls.get());  // the peer's own first
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    X509* const ca = sk_X509_value(chain, i);
    if (openssl::FingerprintOf(ca) != peer.ca_fingerprint) continue;
    if (X509_check_ca(ca) != 1) {
      return absl::UnauthenticatedError("the certificate with the expected fingerprint that " +
                                        NameOf(peer) + " shows is none of a CA");
    }
    RETURN_IF_ERROR(openssl::VerifyChain(sk_X509_value(chain, 0), chain, ca, peer.host, now));
    return openssl::ToPem(ca);
  }
  return absl::UnauthenticatedError("none of the " + std::to_string(sk_X509_num(chain)) +
                                    " certificates that " + NameOf(peer) +
                                    " shows is the CA with fingerprint " +
                                    peer.ca_fingerprint.ToHex());
}

}  // namespace fleetune
