#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"

namespace fleetune {

// The next Size bytes of `reader`. DataLoss if they are too few; then neither `into` nor the position has changed.
template <size_t Size>
absl::Status ReadArray(ByteReader& reader, std::array<uint8_t, Size>& into) {
  const absl::StatusOr<std::span<const uint8_t>> bytes = reader.ReadBytes(Size);
  if (!bytes.ok()) return bytes.status();
  std::ranges::copy(*bytes, into.begin());
  return absl::OkStatus();
}

}  // namespace fleetune
