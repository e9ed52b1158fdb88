#include "tests/bench/channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"

namespace fleetune::bench {

Channel::~Channel() { close(socket_); }

void Channel::SendRaw(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    CHECK(sent > 0);
    bytes = bytes.subspan(static_cast<size_t>(sent));
  }
}

void Channel::ReceiveRaw(std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t received = recv(socket_, bytes.data(), bytes.size(), 0);
    if (received < 0 && errno == EINTR) continue;
    CHECK(received > 0);
    bytes = bytes.subspan(static_cast<size_t>(received));
  }
}

void Channel::Send(std::span<const uint8_t> message) {
  const uint64_t size = message.size();
  SendRaw({reinterpret_cast<const uint8_t*>(&size), sizeof size});
  SendRaw(message);
}

Bytes Channel::Receive() {
  uint64_t size = 0;
  ReceiveRaw({reinterpret_cast<uint8_t*>(&size), sizeof size});
  Bytes message(size);
  ReceiveRaw(message);
  return message;
}

}  // namespace fleetune::bench
