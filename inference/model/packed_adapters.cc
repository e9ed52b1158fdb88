#include "inference/model/packed_adapters.h"

namespace fleetune {

std::shared_ptr<const PackedAdapter> PackedAdapters::Of(const std::shared_ptr<const Adapter>& adapter,
                                                         const std::shared_ptr<const RowGains>& gains) {
  const MutexLock lock(&mutex_);
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const std::shared_ptr<const PackedAdapter> packed = entry->packed.lock();
    if (packed == nullptr) {
      entry = entries_.erase(entry);
      continue;
    }
    if (entry->adapter.lock() == adapter) return packed;
    ++entry;
  }
  auto packed = std::make_shared<const PackedAdapter>(*adapter, gains);
  entries_.push_back({.adapter = adapter, .packed = packed});
  return packed;
}

}  // namespace fleetune
