#include "inference/server/served_adapters.h"

#include <set>
#include <utility>

#include "fmt/format.h"

namespace fleetune {

std::shared_ptr<const ServedAdapters::List> ServedAdapters::Current() const {
  MutexLock lock(&mutex_);
  return list_;
}

absl::StatusOr<std::shared_ptr<const ServedAdapters::List>> ServedAdapters::Replace(List list) {
  std::set<std::string> names = {"", kBaseModelName};
  for (const ServedAdapter& one : list) {
    if (!names.insert(one.name).second) {
      return absl::InvalidArgumentError(
          fmt::format("an adapter cannot be served as \"{}\": the name is taken, or empty", one.name));
    }
  }
  auto next = std::make_shared<const List>(std::move(list));
  MutexLock lock(&mutex_);
  return std::exchange(list_, std::move(next));
}

}  // namespace fleetune
