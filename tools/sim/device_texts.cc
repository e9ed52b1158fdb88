#include "tools/sim/device_texts.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/status_macros.h"

namespace fleetune {
namespace {

absl::StatusOr<std::vector<std::string>> FilesOf(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> files;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::filesystem::path& path = entry->path();
    if (path.extension() == ".txt" || path.extension() == ".jsonl") files.push_back(path.string());
  }
  if (error) return absl::NotFoundError(folder + ": " + error.message());
  if (files.empty()) return absl::NotFoundError(folder + ": expected .txt or .jsonl files, one a device; found none");
  std::ranges::sort(files);
  return files;
}

}  // namespace

absl::StatusOr<std::vector<DeviceTexts>> ReadDeviceTexts(const std::string& folder, bool tuning_part) {
  ASSIGN_OR_RETURN(const std::vector<std::string> files, FilesOf(folder));
  std::vector<DeviceTexts> devices;
  for (const std::string& file : files) {
    ASSIGN_OR_RETURN(std::vector<Record> records, ReadRecords(file));
    if (records.size() < kFewestRecords) {
      return absl::InvalidArgumentError(file + ": expected at least " + std::to_string(kFewestRecords) +
                                        " records, of which every tenth is held out, got " +
                                        std::to_string(records.size()));
    }
    DeviceTexts device;
    device.name = std::filesystem::path(file).stem().string();
    for (size_t i = 0; i < records.size(); ++i) {
      const size_t number = i + 1;
      auto& part = number % 10 == 0 ? device.held_out : tuning_part && number % 10 == 5 ? device.tuning : device.train;
      part.push_back(std::move(records[i]));
    }
    devices.push_back(std::move(device));
  }
  return devices;
}

}  // namespace fleetune
