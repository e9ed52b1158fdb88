#pragma once

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lora/records/record.h"

namespace fleetune {

// The records of several paths in their order: files, or folders, of which every ".txt" and ".jsonl" file
// is read in the order of their names. Errors of ReadRecords; NotFound for a folder without such a file.
absl::StatusOr<std::vector<Record>> ReadRecordPaths(std::span<const std::string> paths);

}  // namespace fleetune
