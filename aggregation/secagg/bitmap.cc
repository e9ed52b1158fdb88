#include "aggregation/secagg/bitmap.h"

#include <bit>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune::secagg {

bool Bitmap::Has(uint32_t position) const {
  CHECK(position < size_);
  return (bytes_[position / 8] >> (position % 8) & 1) != 0;
}

void Bitmap::Add(uint32_t position) {
  CHECK(position < size_);
  bytes_[position / 8] = static_cast<uint8_t>(bytes_[position / 8] | 1u << (position % 8));
}

uint32_t Bitmap::Count() const {
  uint32_t count = 0;
  for (const uint8_t byte : bytes_) count += static_cast<uint32_t>(std::popcount(byte));
  return count;
}

absl::StatusOr<Bitmap> Bitmap::Read(uint32_t size, ByteReader& reader) {
  Bitmap bitmap(size);
  ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, reader.ReadBytes(bitmap.bytes_.size()));
  bitmap.bytes_.assign(bytes.begin(), bytes.end());
  if (size % 8 != 0 && bitmap.bytes_.back() >> (size % 8) != 0) {
    return absl::InvalidArgumentError("bitmap: a bit past its end is set");
  }
  return bitmap;
}

}  // namespace fleetune::secagg
