#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "aggregation/privacy/skellam_rdp.h"
#include "base/bytes.h"
#include "base/digest.h"

namespace fleetune {

inline constexpr size_t kMaxChargedTaskBytes = 128;      // of a task's name
inline constexpr uint64_t kMaxChargedCells = 1'000'000;  // of one ledger: 30 years of a cell every quarter of an hour

// One cell's sum, to be revealed: what a ledger is charged for. Named by the id of its session, which follows from the
// fresh keys of all who sit in it: numbers of rounds and cells are only what the coordinator calls them, and one that
// lies could call two cells the same.
struct PrivacyCharge {
  std::string task;  // 1 .. kMaxChargedTaskBytes
  Digest session;
  SkellamRelease release;    // sampling_rate: this cell's share of the fleet; only the outsiders' figure uses it
  int64_t time_unix_ms = 0;  // when, as the caller's clock says; for people

  friend bool operator==(const PrivacyCharge&, const PrivacyCharge&) = default;
};

// InvalidArgument naming the field out of range.
absl::Status Validate(const PrivacyCharge& charge);

// One record of a stored ledger, little-endian: u32 "FTPC", u32 version 1, u32 length and bytes of the task, 32
// bytes of the session, four f64 (l2, l1, variance, sampling_rate), i64 time. Requires a valid charge; checked.
Bytes EncodePrivacyCharge(const PrivacyCharge& charge);

// The inverse. DataLoss if the bytes end early, go on, or are no such record; ResourceExhausted for a task over
// its limit; InvalidArgument as Validate.
absl::StatusOr<PrivacyCharge> DecodePrivacyCharge(std::span<const uint8_t> bytes);

}  // namespace fleetune
