#pragma once

#include <cstddef>
#include <cstdint>

#include "aggregation/encode/encoding_options.h"
#include "coordinator/core/fleet_limits.h"
#include "coordinator/core/ports.h"
#include "coordinator/core/task_spec.h"

namespace fleetune {

// What a message from outside may hold at most, besides coordinator/core/fleet_limits.h and device_report.h.
inline constexpr size_t kMaxNameBytes = 64;           // device names, tags, tasks, models, ids
inline constexpr size_t kMaxReasonBytes = 256;           // words for people
inline constexpr uint64_t kMaxExamplesPerTag = 1ull << 40;  // 256 tags of it still fit u64
inline constexpr uint64_t kMaxMemoryBudgetBytes = 1ull << 50;
// Ring elements of the values, of at most kMaxGroups weights and of telemetry.
inline constexpr uint64_t kMaxUploadBytes = 4 * (kMaxEncodedValues + kMaxGroups + kTelemetryElements);
// The largest message of a device in a cell: sealed shares for 4095 neighbours have 96 bytes each.
inline constexpr size_t kMaxCellMessageBytes = 512 * 1024;
inline constexpr uint64_t kMaxModelFileBytes = 1ull << 40;

// Of a whole request. The largest legal one is a chunk with its round and index, or a task's TOML.
inline constexpr int kMaxRequestBytes = 1024 * 1024;
static_assert(kMaxRequestBytes >= 2 * static_cast<int>(kTransferChunkBytes));

// Of a whole answer: an exported adapter.
inline constexpr uint64_t kMaxExportBytes = 1ull << 30;

}  // namespace fleetune
