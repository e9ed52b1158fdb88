#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace fleetune {

inline constexpr size_t kTokenSecretBytes = 32;
inline constexpr uint32_t kMaxTokenUses = 100'000;
inline constexpr std::chrono::seconds kMaxTokenLifetime = std::chrono::hours(365 * 24);
inline constexpr size_t kMaxCertificateRequestBytes = 16 * 1024;  // a P-256 request has about 500
inline constexpr size_t kMaxDeviceNameBytes = 64;
inline constexpr size_t kMaxDeviceTags = 32;
inline constexpr size_t kMaxModels = 1024;
inline constexpr size_t kMaxTasks = 1024;
inline constexpr uint32_t kMaxListedRounds = 1000;
inline constexpr uint32_t kDefaultAuditPage = 100;
inline constexpr uint32_t kMaxAuditPage = 1000;

// A device may be offline for long, and renews well before the end.
inline constexpr std::chrono::hours kDeviceCertificateLifetime = std::chrono::hours(365 * 24);

// A task's sum and snapshot are one value of the store each: 512 MiB stays under SQLite's 10^9 bytes.
inline constexpr uint64_t kMaxTaskParameters = 1ull << 27;

// InvalidArgument: too many, or one that is no IsDeviceTag.
absl::Status CheckDeviceTags(const std::vector<std::string>& tags);

}  // namespace fleetune
