#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/crypto/secret.h"
#include "base/digest.h"
#include "inference/model/model.h"

namespace fleetune {

// What prompts begin with, and the adapter that it is read with. Plain data.
struct PromptBeginning {
  std::vector<int32_t> tokens;
  std::shared_ptr<const Adapter> adapter;  // null: the base alone
  std::string adapter_hash;                // tells its bits from others'; empty: the base alone
};

// Beginnings of prompts that were read, as files of a folder, one each: a program that starts anew goes on from them instead of
// computing them again, with the same bits. A file is of one model, adapter, way to compute and build of this program, and is
// not found by another.
//
// Thread-safe: files come and go as a whole, and nothing else changes. Calls take as long as the disk does.
class PromptFiles {
 public:
  struct Options {
    std::string folder;      // made if there is none, for its owner alone
    uint64_t max_bytes = 0;  // of the files together; those go first that were not used for longest
    // Of what files are sealed with (AES-256-GCM) and named by, asked for each time, by any thread; none: they are readable by
    // their owner as they are.
    std::function<absl::StatusOr<Secret32>()> key = {};
  };
  // `base_hash` tells the model's file from others. Errors of reading this program's own file, by whose hash its build is known.
  static absl::StatusOr<std::unique_ptr<PromptFiles>> Open(Options options, std::shared_ptr<const Model> model,
                                                           std::string base_hash);

  // Of so many tokens that prompts begin with, those that are kept: whole blocks of the cache, or none if reading them again
  // takes hardly longer than their file.
  static size_t Worthwhile(size_t tokens);

  // A sequence as long as the model's context that has read beginning.tokens. NotFound; DataLoss if the file was damaged or is
  // of something else, and it is deleted then; Unavailable; errors of the key.
  absl::StatusOr<std::unique_ptr<Sequence>> Find(const PromptBeginning& beginning);

  // Writes a file unless it is there. Requires that `sequence` has read beginning.tokens and no more; checked.
  // ResourceExhausted if it is larger than all files may be; errors of WriteFileAtomic and of the key; FailedPrecondition if the
  // key was replaced meanwhile: what was sealed with it is deleted.
  absl::Status Keep(const PromptBeginning& beginning, const Sequence& sequence);

 private:
  struct Place {
    std::string path;
    std::optional<Secret32> seal;
  };
  PromptFiles(Options options, std::shared_ptr<const Model> model, const Digest& origin);
  Digest OriginOf(const PromptBeginning& beginning) const;
  absl::StatusOr<Place> PlaceOf(const PromptBeginning& beginning) const;
  absl::StatusOr<std::unique_ptr<Sequence>> Read(const PromptBeginning& beginning, const Place& place) const;
  absl::Status MakeRoom(uint64_t bytes) const;

  const Options options_;
  const std::shared_ptr<const Model> model_;
  const Digest origin_;  // of the model, the way to compute and the build
};

}  // namespace fleetune
