#pragma once

#include <span>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

// Our own adapter file: docs/formats/adapter_file.md.

inline constexpr uint32_t kAdapterFileMagic = 0x31415446;      // "FTA1"
inline constexpr uint32_t kDoraAdapterFileMagic = 0x32415446;  // "FTA2": magnitudes follow B

Bytes SerializeAdapterFile(const Adapter& adapter);

// The inverse, bit by bit. DataLoss (cut off, bytes after the end, hash differs); InvalidArgument (not such a
// file, a field out of range, a shape that `base` does not have).
absl::StatusOr<Adapter> ParseAdapterFile(std::span<const uint8_t> bytes, const BaseSizes& base);

}  // namespace fleetune
