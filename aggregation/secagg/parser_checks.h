#pragma once

// What every parser of a message must refuse, for tests.

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "gtest/gtest.h"

namespace fleetune::secagg {

inline absl::StatusCode CodeOf(const absl::Status& status) { return status.code(); }
template <typename T>
absl::StatusCode CodeOf(const absl::StatusOr<T>& result) {
  return result.status().code();
}

// `message` parses, but none of its beginnings, nor `message` with a byte more.
template <typename Parse>
void ExpectNoOtherLength(std::span<const uint8_t> message, Parse parse) {
  ASSERT_TRUE(parse(message).ok());
  for (size_t size = 0; size < message.size(); ++size) {
    // A copy of exactly this size, so that a sanitizer sees a read past its end.
    const Bytes cut(message.begin(), message.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(parse(cut).ok()) << "cut off at " << size;
  }
  Bytes longer(message.begin(), message.end());
  longer.push_back(0);
  EXPECT_FALSE(parse(longer).ok());
}

// Another kind of message, and one of another session. `message` begins with kind and session.
template <typename Parse>
void ExpectHeadIsChecked(std::span<const uint8_t> message, Parse parse) {
  for (size_t at = 0; at < 33; ++at) {
    Bytes other(message.begin(), message.end());
    other[at] ^= 0x10;
    EXPECT_EQ(CodeOf(parse(other)), absl::StatusCode::kInvalidArgument) << "byte " << at;
  }
}

// `parse` of `message` with any one bit flipped fails.
template <typename Parse>
void ExpectEveryBitCounts(std::span<const uint8_t> message, Parse parse) {
  ASSERT_TRUE(parse(message).ok());
  for (size_t bit = 0; bit < message.size() * 8; ++bit) {
    Bytes flipped(message.begin(), message.end());
    flipped[bit / 8] = static_cast<uint8_t>(flipped[bit / 8] ^ 1u << (bit % 8));
    EXPECT_FALSE(parse(flipped).ok()) << "bit " << bit;
  }
}

}  // namespace fleetune::secagg
