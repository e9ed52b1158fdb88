#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/rpc/ports.h"

namespace fleetune {

// Base models as files of one folder: <sha256>.gguf. Thread-safe but for what Begin gives.
class ModelFolder final : public ModelStore {
 public:
  // Makes the folder if need be, and removes what an interrupted upload left. Unavailable (the system's error).
  static absl::StatusOr<std::unique_ptr<ModelFolder>> Open(const std::string& path);

  absl::StatusOr<ModelFilePart> ReadPart(const Digest& sha256, uint64_t offset) const override;
  absl::StatusOr<std::unique_ptr<IncomingModel>> Begin(const std::string& name, uint64_t size_bytes) override;

 private:
  explicit ModelFolder(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

}  // namespace fleetune
