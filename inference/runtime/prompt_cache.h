#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "inference/model/model.h"

namespace fleetune {

// Sequences that were read, kept in memory so that what a new prompt shares with one from its beginning on is not computed
// again: the system prompt, or a conversation so far. A sequence serves prompts over the very same adapter only.
// Thread-safe: a mutex, as requests of many threads share it; held while a list of few is looked through, never while
// anything is computed or copied.
class PromptCache {
 public:
  // Fewer shared tokens are not worth the copy.
  static constexpr size_t kLeastShared = 8;

  // `max_bytes` of keys and values together; the oldest go first. 0: keeps nothing. What is larger alone is not kept.
  explicit PromptCache(uint64_t max_bytes) : max_bytes_(max_bytes) {}

  // A copy, cut to what it shares with the beginning of `prompt`, of the kept sequence that shares most: less than the
  // whole prompt, so that there is a token left to read. Null if none shares kLeastShared tokens. `adapter` may be null.
  std::unique_ptr<Sequence> Find(std::span<const int32_t> prompt, const std::shared_ptr<const Adapter>& adapter);

  // Whether a kept sequence begins with all of `tokens`, so that Find has them of any prompt that does.
  bool Has(std::span<const int32_t> tokens, const std::shared_ptr<const Adapter>& adapter) const;

  // Keeps a copy of a sequence that has read exactly `tokens`; those that are a beginning of it are dropped.
  // Requires tokens.size() == sequence.position(); checked.
  void Keep(const Sequence& sequence, std::vector<int32_t> tokens, std::shared_ptr<const Adapter> adapter);

  // Drops what was read with an adapter that is not served any more.
  void Forget(const std::shared_ptr<const Adapter>& adapter);

  uint64_t bytes() const;

 private:
  struct Entry {
    std::shared_ptr<const Sequence> sequence;
    std::vector<int32_t> tokens;
    std::shared_ptr<const Adapter> adapter;
    uint64_t bytes = 0;
  };

  const uint64_t max_bytes_;
  mutable Mutex mutex_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // used last first
  uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace fleetune
