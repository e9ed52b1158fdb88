#pragma once

#include <list>
#include <memory>

#include "base/mutex.h"
#include "inference/model/packed_adapter.h"

namespace fleetune {

// The packed forms of adapters that are in use: sequences over the same adapter share one, which is made for the first of them
// and freed with the last. Thread-safe: a mutex, held while an adapter is packed, so that it is packed once.
class PackedAdapters {
 public:
  // `gains` as PackedAdapter takes them: the same in all calls of one adapter.
  std::shared_ptr<const PackedAdapter> Of(const std::shared_ptr<const Adapter>& adapter,
                                          const std::shared_ptr<const RowGains>& gains);

 private:
  struct Entry {
    std::weak_ptr<const Adapter> adapter;  // keeps its address from being another's
    std::weak_ptr<const PackedAdapter> packed;
  };

  Mutex mutex_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace fleetune
