#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/digest.h"
#include "client/core/ports.h"

namespace fleetune {

// The base models of a device: those that it downloaded (<root>/<sha256>.gguf), and files that the machine had
// already, which are used where they lie. Those are hashed once; <root>/known remembers hash, size and time of
// change of each. Not thread-safe.
class ModelShelf {
 public:
  // Makes `root`. Models in `already_there` that are missing or cannot be read are left out; `problems` says which and why.
  static absl::StatusOr<ModelShelf> Open(const std::string& root, const std::vector<std::string>& already_there,
                                         std::vector<std::string>& problems);

  std::vector<Digest> models() const;
  absl::StatusOr<std::string> Path(const Digest& sha256) const;  // NotFound

  // Downloads up to `most_parts` parts, going on where the last call or process stopped. True when the whole model is
  // there and has its hash; false: call again. Errors of CoordinatorLink::FetchModel; DataLoss (wrong hash; the next
  // call begins anew); ResourceExhausted (the disk is full).
  absl::StatusOr<bool> Fetch(const Digest& sha256, uint32_t most_parts, CoordinatorLink& link);

  // Of a model that turned out to be unreadable: it is not offered any more; a downloaded one is deleted.
  void Forget(const Digest& sha256);

 private:
  explicit ModelShelf(std::string root) : root_(std::move(root)) {}
  std::string DownloadedPath(const Digest& sha256) const;

  std::string root_;
  std::map<Digest, std::string> paths_;
};

}  // namespace fleetune
