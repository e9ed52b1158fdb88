#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/crypto/random.h"
#include "base/crypto/secret.h"
#include "client/core/ports.h"
#include "client/data/example_store.h"

namespace fleetune {

// Control variates as files of the folder "controls" beside the examples, one a task and one for what a round proposes,
// each sealed (AES-256-GCM) under a key that goes when the examples are purged. A proposal holds all that the task's
// become, so that accepting it is the renaming of a file: done wholly, and once. Not thread-safe.
class ControlFiles final : public ControlStore {
 public:
  // `dir` is the store's. Borrows `examples`.
  ControlFiles(const std::string& dir, ExampleStore* examples) : folder_(FolderIn(dir)), examples_(examples) {}

  absl::StatusOr<OwnControl> Begin(const ControlledTask& task) override;
  absl::Status Propose(const std::string& round, const OwnControl& control) override;
  absl::Status Accept(const std::string& task, const std::string& round) override;
  absl::Status KeepProposal(const std::string& round) override;

  // The tasks that the coordinator offers at `now`. What was learned for another one, and not offered for
  // kMostTimeWithoutOffer, is deleted: a task that pauses is not gone.
  absl::Status NoteOffered(const std::vector<std::string>& tasks, TimePoint now);

  // Deletes all of them: part of a purge.
  static absl::Status DeleteAll(const std::string& dir);

 private:
  static std::string FolderIn(const std::string& dir) { return dir + "/controls"; }
  std::string PathOf(const std::string& task) const;
  std::string ProposalPath(const std::string& task, const std::string& round) const;

  struct Training {
    ControlledTask task;
    Secret32 key;
  };

  std::string folder_;
  ExampleStore* examples_;
  std::optional<Training> training_;
  SecureRandom random_;  // nonces
};

inline constexpr uint64_t kMaxControlFileBytes = uint64_t{1} << 30;
inline constexpr std::chrono::hours kMostTimeWithoutOffer = std::chrono::hours(24 * 30);

}  // namespace fleetune
