#include "tests/integration/http2_messages.h"

namespace fleetune {
namespace {

constexpr size_t kPrefaceBytes = 24;
constexpr size_t kFrameHeaderBytes = 9;
constexpr uint8_t kDataFrame = 0;
constexpr uint8_t kPadded = 0x8;
constexpr size_t kMessageHeaderBytes = 5;  // whether it is compressed, length

uint32_t BigEndian(std::span<const uint8_t> bytes) {
  uint32_t value = 0;
  for (const uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

void DropFront(Bytes& bytes, size_t size) { bytes.erase(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size)); }

}  // namespace

std::vector<Bytes> Http2Messages::Add(int connection, std::span<const uint8_t> bytes) {
  Connection& state = connections_[connection];
  state.rest.insert(state.rest.end(), bytes.begin(), bytes.end());
  if (!state.greeted) {
    if (state.rest.size() < kPrefaceBytes) return {};
    DropFront(state.rest, kPrefaceBytes);
    state.greeted = true;
  }
  std::vector<Bytes> messages;
  while (state.rest.size() >= kFrameHeaderBytes) {
    const std::span<const uint8_t> rest = state.rest;
    const uint32_t length = BigEndian(rest.first(3));
    if (rest.size() < kFrameHeaderBytes + length) break;
    if (rest[3] == kDataFrame) {
      std::span<const uint8_t> data = rest.subspan(kFrameHeaderBytes, length);
      if ((rest[4] & kPadded) != 0) data = data.subspan(1, data.size() - 1 - data[0]);
      Bytes& stream = state.streams[BigEndian(rest.subspan(5, 4)) & 0x7fffffff];
      stream.insert(stream.end(), data.begin(), data.end());
      while (stream.size() >= kMessageHeaderBytes) {
        const uint32_t size = BigEndian(std::span(stream).subspan(1, 4));
        if (stream.size() < kMessageHeaderBytes + size) break;
        const std::span<const uint8_t> message = std::span<const uint8_t>(stream).subspan(kMessageHeaderBytes, size);
        if (stream[0] == 0) messages.emplace_back(message.begin(), message.end());
        DropFront(stream, kMessageHeaderBytes + size);
      }
    }
    DropFront(state.rest, kFrameHeaderBytes + length);
  }
  return messages;
}

}  // namespace fleetune
