#include "inference/tokenizer/byte_alphabet.h"

#include <algorithm>
#include <array>

#include "base/utf8.h"

namespace fleetune {
namespace {

constexpr uint32_t kFirstShifted = 0x100;

constexpr bool StandsForItself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
}

// The bytes that do not stand for themselves, in order: the n-th is U+0100 + n.
constexpr auto kShifted = [] {
  std::array<uint8_t, 68> shifted{};
  size_t count = 0;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    if (!StandsForItself(byte)) shifted[count++] = static_cast<uint8_t>(byte);
  }
  return shifted;
}();

}  // namespace

std::string ByteCharacter(uint8_t byte) {
  const auto shifted = std::lower_bound(kShifted.begin(), kShifted.end(), byte);
  const uint32_t code = StandsForItself(byte)
                            ? byte
                            : kFirstShifted + static_cast<uint32_t>(shifted - kShifted.begin());
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

std::string BytesOfToken(std::string_view token) {
  std::string bytes;
  while (!token.empty()) {
    const size_t size = std::max<size_t>(Utf8CharacterSize(token), 1);
    uint32_t code = static_cast<uint8_t>(token[0]);
    if (size == 2) code = (code & 0x1F) << 6 | (static_cast<uint8_t>(token[1]) & 0x3F);
    if (size <= 2 && code < kFirstShifted && StandsForItself(code)) {
      bytes.push_back(static_cast<char>(code));
    } else if (size == 2 && code >= kFirstShifted && code - kFirstShifted < kShifted.size()) {
      bytes.push_back(static_cast<char>(kShifted[code - kFirstShifted]));
    } else {
      bytes.append(token.substr(0, size));
    }
    token.remove_prefix(size);
  }
  return bytes;
}

}  // namespace fleetune
