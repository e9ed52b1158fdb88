// TLS 1.3 only, shown with hellos made by hand: the same hello with and without TLS 1.3 among its versions.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>

#include <spdlog/logger.h>
#include <spdlog/sinks/null_sink.h>

#include "base/files.h"
#include "coordinator/rpc/server.h"
#include "tests/support/small_fleet.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

constexpr uint8_t kAlertRecord = 21;
constexpr uint8_t kHandshakeRecord = 22;

std::string Byte(unsigned value) { return std::string(1, static_cast<char>(value)); }
std::string Short(size_t value) { return Byte(static_cast<unsigned>(value >> 8)) + Byte(value & 0xff); }
std::string WithLength(const std::string& text) { return Short(text.size()) + text; }
std::string Extension(unsigned type, const std::string& body) { return Short(type) + WithLength(body); }

// RFC 5246 and 8446, section 4.1.2 of both.
std::string ClientHello(bool with_tls13) {
  std::string suites = Short(0xc02b) + Short(0xc02c) + Short(0xcca9);  // ECDHE-ECDSA with AES-GCM, ChaCha20
  std::string extensions = Extension(10, WithLength(Short(0x001d) + Short(0x0017)))  // x25519, P-256
                           + Extension(11, Byte(1) + Byte(0))                        // uncompressed points
                           + Extension(13, WithLength(Short(0x0403) + Short(0x0804)))  // ECDSA P-256, RSA-PSS
                           + Extension(16, WithLength(Byte(2) + "h2"))                 // ALPN
                           + Extension(23, "") + Extension(0xff01, Byte(0));
  if (with_tls13) {
    suites = Short(0x1301) + suites;
    const std::string point = Byte(9) + std::string(31, '\0');  // the base point of x25519
    extensions += Extension(43, Byte(2) + Short(0x0304)) + Extension(51, WithLength(Short(0x001d) + WithLength(point)));
  }
  const std::string body = Short(0x0303) + std::string(32, 'r') + Byte(0) + WithLength(suites) + Byte(1) + Byte(0) +
                           WithLength(extensions);
  const std::string handshake = Byte(1) + Byte(0) + WithLength(body);
  return Byte(kHandshakeRecord) + Short(0x0301) + WithLength(handshake);
}

// The first bytes of what the server answers.
std::string Answer(int port, const std::string& hello) {
  const int socket_fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(connect(socket_fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  CHECK(write(socket_fd, hello.data(), hello.size()) == static_cast<ssize_t>(hello.size()));
  std::string answer(7, '\0');
  size_t got = 0;
  while (got < answer.size()) {
    const ssize_t more = read(socket_fd, answer.data() + got, answer.size() - got);
    if (more <= 0) break;
    got += static_cast<size_t>(more);
  }
  close(socket_fd);
  answer.resize(got);
  return answer;
}

TEST(TlsVersionTest, Tls12IsRefusedAndTls13Answered) {
  KeepGrpcQuiet();
  TempFolder folder;
  SmallFleet small;
  const auto issued = SmallFleet::Authority().IssueServer({"localhost"}, SystemClock().Now(), std::chrono::hours(24));
  ASSERT_THAT(issued, IsOk());
  const std::string& ca = SmallFleet::Authority().pem().certificate_pem;
  ASSERT_THAT(WriteFileAtomic(folder.File("key"), AsBytes(issued->key_pem)), IsOk());
  ASSERT_THAT(WriteFileAtomic(folder.File("crt"), AsBytes(issued->certificate_pem + ca)), IsOk());
  ASSERT_THAT(WriteFileAtomic(folder.File("ca"), AsBytes(ca)), IsOk());
  Strand strand(16);
  spdlog::logger log("test", std::make_shared<spdlog::sinks::null_sink_mt>());
  ServicePorts ports;
  ports.fleet = small.fleet.get();
  ports.fleet_strand = &strand;
  ports.disk_strand = &strand;
  ports.clock = &small.clock;
  ports.log = &log;
  const auto server = CoordinatorServer::Start({.listen = "127.0.0.1:0",
                                                .key_path = folder.File("key"),
                                                .certificate_path = folder.File("crt"),
                                                .ca_path = folder.File("ca")},
                                               ports);
  ASSERT_THAT(server, IsOk());

  const std::string modern = Answer((*server)->port(), ClientHello(true));
  ASSERT_EQ(modern.size(), 7u);
  EXPECT_EQ(modern[0], kHandshakeRecord);

  const std::string old = Answer((*server)->port(), ClientHello(false));
  // gRPC closes without sending the alert, or sends it: in no case a handshake message.
  if (!old.empty()) {
    EXPECT_EQ(old[0], kAlertRecord);
  }
}

}  // namespace
}  // namespace fleetune
