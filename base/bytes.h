#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace fleetune {

using Bytes = std::vector<uint8_t>;

static_assert(std::endian::native == std::endian::little,
              "file formats, wire and hashes are little-endian; a big-endian port needs swaps here");

inline std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view AsText(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Reads little-endian values from a span, which it borrows. Every read past the
// end is DataLoss that says where and how many bytes were wanted; the position
// does not move then. Not thread-safe.
class ByteReader {
 public:
  explicit ByteReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  // T: an integer, float or double.
  template <typename T>
  absl::StatusOr<T> Read() {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    if (remaining() < sizeof(T)) return PastEnd(sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  // A view into the borrowed bytes.
  absl::StatusOr<std::span<const uint8_t>> ReadBytes(uint64_t size);

  // u32 length, then that many bytes. ResourceExhausted if longer than `max_size`.
  absl::StatusOr<std::span<const uint8_t>> ReadBlob(uint32_t max_size);

  absl::Status Skip(uint64_t size);

  // DataLoss if anything is left.
  absl::Status ExpectEnd() const;

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }

 private:
  absl::Status PastEnd(uint64_t wanted) const;

  std::span<const uint8_t> bytes_;
  uint64_t position_ = 0;
};

// Appends little-endian values. Not thread-safe.
class ByteWriter {
 public:
  template <typename T>
  void Write(T value) {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    uint8_t raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    bytes_.insert(bytes_.end(), raw, raw + sizeof(T));
  }
  void WriteBytes(std::span<const uint8_t> bytes);
  // Takes memory for so many bytes in all at once, if their number is known and large.
  void Reserve(size_t size_bytes) { bytes_.reserve(size_bytes); }
  // u32 length, then the bytes. Requires bytes.size() < 2^32; checked.
  void WriteBlob(std::span<const uint8_t> bytes);

  const Bytes& bytes() const { return bytes_; }
  Bytes Take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

}  // namespace fleetune
