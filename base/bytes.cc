#include "base/bytes.h"

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {

absl::StatusOr<std::span<const uint8_t>> ByteReader::ReadBytes(uint64_t size) {
  if (remaining() < size) return PastEnd(size);
  const std::span<const uint8_t> view = bytes_.subspan(position_, size);
  position_ += size;
  return view;
}

absl::StatusOr<std::span<const uint8_t>> ByteReader::ReadBlob(uint32_t max_size) {
  const uint64_t start = position_;
  ASSIGN_OR_RETURN(const uint32_t size, Read<uint32_t>());
  if (size > max_size) {
    position_ = start;
    return absl::ResourceExhaustedError("a field at byte " + std::to_string(start) + " has " +
                                        std::to_string(size) + " bytes; at most " +
                                        std::to_string(max_size) + " are allowed");
  }
  auto view = ReadBytes(size);
  if (!view.ok()) position_ = start;
  return view;
}

absl::Status ByteReader::Skip(uint64_t size) { return ReadBytes(size).status(); }

absl::Status ByteReader::ExpectEnd() const {
  if (remaining() == 0) return absl::OkStatus();
  return absl::DataLossError(std::to_string(remaining()) + " bytes follow the end at byte " +
                             std::to_string(position_));
}

absl::Status ByteReader::PastEnd(uint64_t wanted) const {
  return absl::DataLossError("cut off: " + std::to_string(wanted) + " bytes expected at byte " +
                             std::to_string(position_) + ", " + std::to_string(remaining()) +
                             " are left");
}

void ByteWriter::WriteBytes(std::span<const uint8_t> bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

void ByteWriter::WriteBlob(std::span<const uint8_t> bytes) {
  CHECK(bytes.size() < (uint64_t{1} << 32));
  Write<uint32_t>(static_cast<uint32_t>(bytes.size()));
  WriteBytes(bytes);
}

}  // namespace fleetune
