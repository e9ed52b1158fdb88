#include "lora/records/record_paths.h"

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "base/status_macros.h"

namespace fleetune {
namespace {

absl::StatusOr<std::vector<std::string>> FilesAt(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return std::vector<std::string>{path};
  std::vector<std::string> files;
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    const std::string ending = entry->path().extension().string();
    if (ending == ".txt" || ending == ".jsonl") files.push_back(entry->path().string());
  }
  if (error) return absl::UnavailableError(path + ": " + error.message());
  if (files.empty()) return absl::NotFoundError(path + ": no .txt or .jsonl file in this folder");
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

absl::StatusOr<std::vector<Record>> ReadRecordPaths(std::span<const std::string> paths) {
  std::vector<Record> all;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(const std::vector<std::string> files, FilesAt(path));
    for (const std::string& file : files) {
      ASSIGN_OR_RETURN(std::vector<Record> records, ReadRecords(file));
      std::move(records.begin(), records.end(), std::back_inserter(all));
    }
  }
  return all;
}

}  // namespace fleetune
