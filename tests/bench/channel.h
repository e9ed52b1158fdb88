#pragma once

#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace fleetune::bench {

// One end of a stream socket between a process and its child. An end that the other side left, or a failed call,
// is a CHECK: this is a benchmark. Closes the socket at the end. Not thread-safe.
class Channel {
 public:
  explicit Channel(int socket) : socket_(socket) {}
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // A message with its length.
  void Send(std::span<const uint8_t> message);
  Bytes Receive();

  // Bytes whose number the other end knows.
  void SendRaw(std::span<const uint8_t> bytes);
  void ReceiveRaw(std::span<uint8_t> bytes);

 private:
  int socket_;
};

}  // namespace fleetune::bench
