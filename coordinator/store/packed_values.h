#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace fleetune {

// Vectors of 32-bit values as blobs, little-endian. A view: must not outlive `values`.
template <typename T>
std::span<const uint8_t> PackedBytes(const std::vector<T>& values) {
  static_assert(sizeof(T) == 4);
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(T)};
}

// DataLoss unless the size is a multiple of four.
template <typename T>
absl::StatusOr<std::vector<T>> UnpackedValues(std::span<const uint8_t> bytes, std::string_view what) {
  static_assert(sizeof(T) == 4);
  if (bytes.size() % sizeof(T) != 0) {
    return absl::DataLossError("stored " + std::string(what) + ": expected 4 bytes a value, got " +
                               std::to_string(bytes.size()) + " bytes");
  }
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace fleetune
