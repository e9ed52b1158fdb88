#include "client/app/daemon_stores.h"

#include <string>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "base/status_macros.h"

namespace fleetune {

absl::StatusOr<DaemonStores> DaemonStores::Open(const DaemonOptions& options, const SigningKey& identity,
                                                const Clock& clock) {
  const DeviceFolder& folder = options.folder;
  ASSIGN_OR_RETURN(StateStore state, StateStore::Open(folder.state()));
  ASSIGN_OR_RETURN(ExampleStore examples, ExampleStore::Open(folder.root, clock));
  ASSIGN_OR_RETURN(DeviceAuditLog audit, DeviceAuditLog::Open(folder.root));
  std::vector<std::string> problems;
  ASSIGN_OR_RETURN(ModelShelf models, ModelShelf::Open(folder.models(), options.settings.models, problems));
  for (const std::string& problem : problems) spdlog::warn("{}", problem);
  return DaemonStores{.state = std::move(state),
                      .examples = std::move(examples),
                      .audit = std::move(audit),
                      .payloads = PayloadFiles(folder.uploads(), PayloadKey(identity)),
                      .adapters = AdapterShelf(folder.adapters()),
                      .models = std::move(models)};
}

}  // namespace fleetune
