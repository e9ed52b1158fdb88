#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "aggregation/secagg/bitmap.h"
#include "base/bytes.h"
#include "base/crypto/signature.h"
#include "base/digest.h"

namespace fleetune::secagg {

// Profile M: the neighbours with whose masks a device masked its input, in its own words (Bell et al. 2020, section 4).
// It follows the device's input, and its neighbours see it before they release shares of its self seed: whoever is not
// named has no part in opening that input. A device signs one a session.
struct Inclusion {
  Bitmap neighbours;  // A1 as the device was told, positions among its neighbours in ascending order of seats
  Signature signature{};

  friend bool operator==(const Inclusion&, const Inclusion&) = default;
};

// What is signed (SignPurpose::kSecAggIncluded).
Digest InclusionHash(const Digest& session, std::string_view device, const Bitmap& neighbours);

constexpr size_t InclusionBytes(uint32_t neighbours) { return (size_t{neighbours} + 7) / 8 + sizeof(Signature); }
void WriteInclusion(const Inclusion& inclusion, ByteWriter& writer);
// Of a device with so many neighbours. DataLoss; InvalidArgument if a bit past the end is set.
absl::StatusOr<Inclusion> ReadInclusion(ByteReader& reader, uint32_t neighbours);
// The same, where nothing may follow.
absl::StatusOr<Inclusion> ParseInclusion(std::span<const uint8_t> bytes, uint32_t neighbours);

}  // namespace fleetune::secagg
