#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/crypto/random.h"
#include "base/crypto/secret.h"
#include "client/core/ports.h"
#include "client/data/example_store.h"

namespace fleetune {

// Checkpoints as files of the folder "checkpoints" beside the examples, one a round, each sealed (AES-256-GCM) under a key
// that goes when the examples are purged: what is left of a file opens nothing then. Not thread-safe.
class CheckpointFiles final : public CheckpointStore {
 public:
  // `dir` is the store's. Borrows `examples`.
  CheckpointFiles(const std::string& dir, ExampleStore* examples)
      : folder_(FolderIn(dir)), examples_(examples) {}

  absl::StatusOr<Bytes> Begin(const std::string& round) override;
  absl::Status Put(std::span<const uint8_t> checkpoint) override;
  absl::Status KeepOnly(const std::string& round) override;

  // Deletes all of them: part of a purge.
  static absl::Status DeleteAll(const std::string& dir);

 private:
  static std::string FolderIn(const std::string& dir) { return dir + "/checkpoints"; }

  struct Training {
    std::string round;
    Secret32 key;
  };

  std::string folder_;
  ExampleStore* examples_;
  std::optional<Training> training_;
  SecureRandom random_;  // nonces
};

inline constexpr uint64_t kMaxCheckpointFileBytes = uint64_t{1} << 30;

}  // namespace fleetune
