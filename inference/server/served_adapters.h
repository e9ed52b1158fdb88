#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "inference/runtime/generator.h"

namespace fleetune {

// What requests call the base model without an adapter.
inline constexpr char kBaseModelName[] = "base";

// An adapter that requests can ask for by name.
struct ServedAdapter {
  std::string name;      // of its task, or what the operator called it; not kBaseModelName
  uint32_t version = 0;  // 0: none is known
  std::string hash;      // hexadecimal digits that tell its bits from others'
  std::string identity = {};  // what answers call it in their fingerprint; empty: "name@version-hash"
  std::shared_ptr<const Adapter> adapter;
};

// Which adapters there are, replaced as a whole while requests run: each keeps what it began with. Thread-safe: a mutex, held
// while a pointer is copied.
class ServedAdapters {
 public:
  using List = std::vector<ServedAdapter>;

  ServedAdapters() : list_(std::make_shared<const List>()) {}

  std::shared_ptr<const List> Current() const;
  // Returns what was served before. InvalidArgument, and nothing changes, if a name is there twice, empty or
  // kBaseModelName.
  absl::StatusOr<std::shared_ptr<const List>> Replace(List list);

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const List> list_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace fleetune
