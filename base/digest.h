#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace fleetune {

// A SHA-256 value: names base models, adapter versions and stored objects.
// base/crypto/sha256.h computes it.
struct Digest {
  std::array<uint8_t, 32> bytes{};

  // 64 lower-case hexadecimal digits.
  std::string ToHex() const;

  // InvalidArgument unless `hex` is exactly 64 hexadecimal digits.
  static absl::StatusOr<Digest> FromHex(std::string_view hex);

  friend auto operator<=>(const Digest&, const Digest&) = default;
};

}  // namespace fleetune
