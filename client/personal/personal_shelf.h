#pragma once

#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/crypto/random.h"
#include "base/crypto/secret.h"
#include "base/digest.h"
#include "client/data/example_store.h"
#include "client/personal/personal_adapter.h"

namespace fleetune {

// Personal adapters as files of the folder "personal" beside the examples, one a task, each sealed (AES-256-GCM) under a key
// that goes when the examples are purged, and bound to task and base model. Not thread-safe.
class PersonalShelf {
 public:
  // `dir` is the store's. Borrows `examples`.
  PersonalShelf(std::string dir, ExampleStore* examples) : dir_(std::move(dir)), examples_(examples) {}

  // Before the examples are read: what is kept later was learned from those that are here now.
  absl::Status Begin();

  // Replaces what the task has; durable when it returns. FailedPrecondition if the examples were purged since Begin(),
  // which must have been called; checked.
  absl::Status Keep(const PersonalAdapter& personal);

  // NotFound if the task has none; DataLoss if it is damaged, of another base model, or was sealed before a purge.
  absl::StatusOr<PersonalAdapter> Load(const std::string& task, const Digest& base);

  // As Load, with the store in `dir`, but nothing where Load is NotFound: a device without a personal adapter needs no key.
  static absl::StatusOr<std::optional<PersonalAdapter>> Find(const std::string& dir, const std::string& task,
                                                             const Digest& base);

  // What tells the file of a task in `dir` from the one that replaces it; empty if there is none. Opens nothing.
  static std::string Stamp(const std::string& dir, const std::string& task);

  // Deletes all of them; how many there were. Needs no key.
  static absl::StatusOr<uint32_t> DeleteAll(const std::string& dir);

 private:
  const std::string dir_;
  ExampleStore* const examples_;
  std::optional<Secret32> key_;  // as of Begin()
  SecureRandom random_;          // nonces
};

}  // namespace fleetune
