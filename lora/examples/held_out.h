#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lora/records/record.h"

namespace fleetune {

// Whether a record belongs to the part that is never learned from, only measured with. Decided by its own text and the
// secret alone: what is added or deleted beside it changes nothing, and equal records lie on one side. Of many records
// about `share`, in [0, 1], are. `record`: its line as FormatRecord writes it. Pure.
bool IsHeldOut(std::string_view record, std::span<const uint8_t> secret, double share);

struct HeldOutSplit {
  std::vector<Record> learned;
  std::vector<Record> held_out;
};

// Both parts, each in its order. FailedPrecondition if no record is left to learn from. Pure.
absl::StatusOr<HeldOutSplit> SplitHeldOut(std::vector<Record> records, std::span<const uint8_t> secret, double share);

}  // namespace fleetune
