#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/core/check_in.h"
#include "client/update/version_file.h"

namespace fleetune {

// The adapter versions that a device keeps in a folder:
//
//   <root>/<task>/<version>-<first 16 digits of its hash>.ftv    version_file.h
//   <root>/<task>/serving        names of the file that prompts are answered with, and of the one before, a line each
//
// Every file is replaced as a whole, the pointer after what it points to: killed at any write, the device answers
// with the old or the new version. Safe to read from several processes while one writes. Not thread-safe.
class AdapterShelf {
 public:
  explicit AdapterShelf(std::string root) : root_(std::move(root)) {}

  // Of each task, what prompts are answered with: the serving version, or the one before if that is lost or damaged.
  // A task of which none can be read is left out.
  std::vector<StoredVersion> Serving() const;
  absl::StatusOr<StoredVersion> Serving(const std::string& task) const;  // NotFound; DataLoss if none can be read

  // NotFound; DataLoss.
  absl::StatusOr<StoredVersion> Load(const ServedVersion& version) const;

  // Durable when it returns; does not serve it.
  absl::Status Keep(const StoredVersion& stored);

  // Prompts are answered with `version` from now on. Deletes all others of the task but the one that served before
  // and `also_keep`. NotFound or DataLoss, and nothing changes, unless `version` can be read.
  absl::Status Serve(const ServedVersion& version, const std::optional<ServedVersion>& also_keep = std::nullopt);

 private:
  std::string Folder(const std::string& task) const;
  std::vector<std::string> ServingNames(const std::string& task) const;
  absl::StatusOr<StoredVersion> Read(const std::string& path) const;

  std::string root_;
};

}  // namespace fleetune
