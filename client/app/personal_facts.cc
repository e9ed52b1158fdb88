#include "client/app/personal_facts.h"

#include <optional>
#include <string>

#include <fmt/format.h>

#include "client/app/print.h"
#include "client/personal/personal_shelf.h"
#include "client/update/adapter_shelf.h"

namespace fleetune {
namespace {

std::string Words(const PersonalAdapter& personal, const StoredVersion& below) {
  const std::string since =
      below.version.version == personal.over_version ? "" : fmt::format(", used on top of version {} now", below.version.version);
  return fmt::format(
      "an adapter of this device alone, on top of task {}: learned on version {}{} from {} examples, {}; held-out loss "
      "{:.4f} without it, {:.4f} with it; nothing of it leaves this device",
      personal.task, personal.over_version, since, personal.examples, FormatTime(personal.trained_at),
      personal.loss_without, personal.loss_with);
}

}  // namespace

nlohmann::json PersonalFacts(const DeviceFolder& folder) {
  nlohmann::json facts = nlohmann::json::array();
  for (const StoredVersion& below : AdapterShelf(folder.adapters()).Serving()) {
    const std::string& task = below.version.task;
    const absl::StatusOr<std::optional<PersonalAdapter>> found = PersonalShelf::Find(folder.root, task, below.base);
    if (!found.ok()) {
      facts.push_back({{"task", task}, {"usable", false}, {"words", std::string(found.status().message())}});
    } else if (found->has_value()) {
      const PersonalAdapter& personal = **found;
      facts.push_back({{"task", task},
                       {"usable", true},
                       {"rank", personal.rank},
                       {"trained_on_version", personal.over_version},
                       {"trained_at", ToMillis(personal.trained_at)},
                       {"examples", personal.examples},
                       {"loss_without", personal.loss_without},
                       {"loss_with", personal.loss_with},
                       {"words", Words(personal, below)}});
    }
  }
  return facts;
}

}  // namespace fleetune
