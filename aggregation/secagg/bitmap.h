#pragma once

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "base/bytes.h"

namespace fleetune::secagg {

// A set of positions 0 .. size - 1, and its bytes on the wire: position i is bit i % 8 of byte i / 8, the rest zero.
// Not thread-safe.
class Bitmap {
 public:
  Bitmap() = default;
  explicit Bitmap(uint32_t size) : size_(size), bytes_((size + 7) / 8) {}

  uint32_t size() const { return size_; }
  // Requires position < size(); checked.
  bool Has(uint32_t position) const;
  void Add(uint32_t position);
  uint32_t Count() const;

  // (size + 7) / 8 bytes.
  const Bytes& bytes() const { return bytes_; }

  // The next bytes of `reader`. DataLoss if they are too few, InvalidArgument if a bit past the end is set.
  static absl::StatusOr<Bitmap> Read(uint32_t size, ByteReader& reader);

  friend bool operator==(const Bitmap&, const Bitmap&) = default;

 private:
  uint32_t size_ = 0;
  Bytes bytes_;
};

}  // namespace fleetune::secagg
