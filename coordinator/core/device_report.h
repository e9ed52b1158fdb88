#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "coordinator/core/fleet_types.h"

namespace fleetune {

// What a device may say of itself at most.
inline constexpr size_t kMaxReportTextBytes = 256;  // each text
inline constexpr size_t kMaxReportEntries = 256;    // versions, example tags, models: each list

bool operator==(const DeviceReport& a, const DeviceReport& b);

// InvalidArgument naming the field that is over its limit, or a text with control characters.
absl::Status Validate(const DeviceReport& report);

// Examples that a task with this tag may use; an empty tag means all of them.
uint64_t ExamplesOf(const DeviceReport& report, std::string_view data_tag);

// As it is stored, little-endian with a leading format byte, and back. Encode requires a valid report; checked.
// DataLoss (cut off, bytes left over), InvalidArgument (format, as Validate), ResourceExhausted (over a limit).
Bytes EncodeDeviceReport(const DeviceReport& report);
absl::StatusOr<DeviceReport> DecodeDeviceReport(std::span<const uint8_t> bytes);

// A text that people read in a terminal: at most `max_bytes`, UTF-8, no control characters.
bool IsPlainText(std::string_view text, size_t max_bytes);

}  // namespace fleetune
