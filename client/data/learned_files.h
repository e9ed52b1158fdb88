#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/crypto/secret.h"
#include "base/random.h"

namespace fleetune {

// What was learned from the private examples and stays on the device: files of a folder beside the examples, each sealed
// (AES-256-GCM) under a key that goes when the examples are purged.

// The keys of such a file: as it was when the examples were read, and as it is now.
struct LearnedFileKeys {
  const Secret32& begun_with;
  const Secret32& now;
};

// Seals `learned`, bound to `associated`, and writes it as a whole, readable by the owner alone, as is its folder, which is made
// if there is none. FailedPrecondition if the keys differ: the examples were destroyed meanwhile, and what was learned from them
// goes with them. Unavailable if it cannot be written.
absl::Status WriteLearnedFile(const std::string& path, std::span<const uint8_t> learned, std::span<const uint8_t> associated,
                              const LearnedFileKeys& keys, RandomSource& random);

// A file's name for a task or a round: their names come from outside, and the hash of one is a name whatever it holds.
std::string LearnedFileName(std::string_view task_or_round);

// Deletes what `unwanted` says of a folder's entries, durably; nothing if there is no such folder. Unavailable naming
// what could not be deleted.
absl::Status DeleteLearnedFiles(const std::string& folder, absl::FunctionRef<bool(const std::string& path)> unwanted);

}  // namespace fleetune
