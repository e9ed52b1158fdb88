#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lora/records/record.h"

namespace fleetune {

// A device's records, in the three parts that they are for.
struct DeviceTexts {
  std::string name;  // of its file, without the ending
  std::vector<Record> train;
  std::vector<Record> held_out;  // every tenth, as in scripts/quickstart.sh
  std::vector<Record> tuning;    // the fifth, the fifteenth, ...: to choose settings by, if there is to be such a part
};

inline constexpr size_t kFewestRecords = 10;  // so that each part has one

// One device a file of `folder` (.txt or .jsonl), in the order of their names. Errors of ReadRecords; NotFound: no such
// file; InvalidArgument naming a file with fewer than kFewestRecords records.
absl::StatusOr<std::vector<DeviceTexts>> ReadDeviceTexts(const std::string& folder, bool tuning_part);

}  // namespace fleetune
