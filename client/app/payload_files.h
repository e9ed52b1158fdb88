#pragma once

#include <string>
#include <vector>

#include "client/core/ports.h"

namespace fleetune {

// Encoded updates as files of a folder, each named by its hash. Not thread-safe.
class PayloadFiles final : public PayloadStore {
 public:
  explicit PayloadFiles(std::string folder) : folder_(std::move(folder)) {}

  absl::Status Put(const Digest& sha256, std::span<const uint8_t> bytes) override;
  absl::StatusOr<Bytes> Get(const Digest& sha256) override;
  absl::Status KeepOnly(const std::vector<Digest>& wanted) override;

 private:
  std::string Path(const Digest& sha256) const { return folder_ + "/" + sha256.ToHex() + ".ring"; }
  std::string folder_;
};

}  // namespace fleetune
