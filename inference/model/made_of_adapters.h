#pragma once

#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

// What is made of adapters, once for all sequences over each: their packed forms, or their rows' gains. Kept while the adapter is.
// Thread-safe: a mutex, held while one is made, so that who asks for it too waits for it.
template <typename Made>
class MadeOfAdapters {
 public:
  // What was made of this very adapter, or what `make` gives now; an error of it is returned, and not kept. Forgets adapters that
  // nobody holds any more.
  absl::StatusOr<std::shared_ptr<const Made>> Of(const std::shared_ptr<const Adapter>& adapter,
                                                 absl::FunctionRef<absl::StatusOr<std::shared_ptr<const Made>>()> make) {
    const MutexLock lock(&mutex_);
    std::erase_if(entries_, [](const Entry& entry) { return entry.adapter.expired(); });
    for (const Entry& entry : entries_) {
      if (entry.adapter.lock() == adapter) return entry.made;
    }
    absl::StatusOr<std::shared_ptr<const Made>> made = make();
    if (made.ok()) entries_.push_back({.adapter = adapter, .made = *made});
    return made;
  }

 private:
  struct Entry {
    std::weak_ptr<const Adapter> adapter;  // keeps its address from being another's
    std::shared_ptr<const Made> made;
  };

  Mutex mutex_;
  std::vector<Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace fleetune
