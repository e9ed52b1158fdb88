#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "client/data/data_key.h"
#include "client/data/database.h"
#include "lora/records/record.h"

namespace fleetune {

inline constexpr size_t kMaxExampleTagBytes = 64;

struct ExampleLimits {
  uint64_t max_examples = 1'000'000;
  uint64_t max_bytes = uint64_t{1} << 30;  // of all examples in their stored form, before sealing
};

struct AddedExamples {
  uint64_t added = 0;
  uint64_t duplicates = 0;  // of what the tag had, or within what was given; skipped

  friend bool operator==(const AddedExamples&, const AddedExamples&) = default;
};

struct TagStats {
  std::string tag;
  uint64_t examples = 0;
  uint64_t bytes = 0;
  TimePoint first_added;
  TimePoint last_added;

  friend bool operator==(const TagStats&, const TagStats&) = default;
};

// The device's private examples, encrypted at rest: each record sealed with AES-256-GCM, bound to its row and
// tag, under a data key that data_key.h keeps. What the database shows without the key: tags, number, sizes and
// times of the examples,.
//
// Several processes may have the store open, and see each other's changes and purges. Not thread-safe.
class ExampleStore {
 public:
  // In the folder `dir`, which must exist. Makes database and key on first use. `clock` is borrowed.
  // DataLoss if the key file is missing or another one's, or the database is damaged; FailedPrecondition if others
  // than its owner may read the key file.
  static absl::StatusOr<ExampleStore> Open(const std::string& dir, const Clock& clock,
                                           const ExampleLimits& limits = {});

  // Adds all or nothing; durable when it returns. InvalidArgument unless `tag` is 1 to kMaxExampleTagBytes of
  // printable ASCII other than " and \, as a plan's data_tag;
  // ResourceExhausted over a limit, or for a record over kMaxRecordBytes in its stored form.
  absl::StatusOr<AddedExamples> Add(std::string_view tag, std::span<const Record> records);

  // Ordered by tag; tags without examples are left out.
  absl::StatusOr<std::vector<TagStats>> Stats();

  // Of one tag, or of all if `tag` is empty.
  absl::StatusOr<uint64_t> Count(std::string_view tag);

  // The examples of one tag, or of all if `tag` is empty, in the order in which they were added. DataLoss naming
  // the row that was changed, or if rows are missing.
  absl::StatusOr<std::vector<Record>> Read(std::string_view tag);

  // The key of checkpoints of trainings on these examples (checkpoint_files.h): another one after a purge.
  absl::StatusOr<Secret32> CheckpointKey();
  // The key of control variates learned from these examples (control_files.h): another one after a purge.
  absl::StatusOr<Secret32> ControlKey();
  // The key of what was learned from these examples for this device alone (client/personal): another one after a purge.
  absl::StatusOr<Secret32> PersonalKey();
  // The key of system prompts that are kept on this device (inference/prompts): another one after a purge.
  absl::StatusOr<Secret32> PromptKey();
  // What the part of the examples that is never learned from is drawn by: the same until a purge.
  absl::StatusOr<Bytes> HeldOutSecret();

  // Destroys all examples and the key to them for good, copies of the database included: there is a new key
  // afterwards. The audit log stays. OK means that nothing is left; Unavailable that the examples are gone and
  // their key too, but another process kept the file's free space from being given back: call again.
  absl::Status Purge();

  // The same for a store that does not open any more (lost key file).
  static absl::Status PurgeFolder(const std::string& dir);

 private:
  ExampleStore(DeviceDatabase database, DataKeyFile key_file, const Clock& clock, const ExampleLimits& limits)
      : database_(std::move(database)), key_file_(std::move(key_file)), clock_(&clock), limits_(limits) {}

  // Inside a transaction: makes `keys_` those of the database as it is now.
  absl::Status RefreshKeys();

  DeviceDatabase database_;
  DataKeyFile key_file_;
  const Clock* clock_;
  ExampleLimits limits_;
  Bytes wrapped_;                   // what `keys_` came from
  std::unique_ptr<ExampleKeys> keys_;
};

}  // namespace fleetune
