#include <fmt/format.h>

#include "base/status_macros.h"
#include "client/app/enroll.h"
#include "client/app/print.h"
#include "client/app/verbs.h"

namespace fleetune {

absl::Status EnrollVerb(const VerbContext& context, const std::string& token, const std::string& name,
                        const std::string& profile) {
  const SystemClock clock;
  ASSIGN_OR_RETURN(DeviceIdentity identity,
                   Enroll(context.folder, {.token = token, .name = name, .profile = profile}, clock));
  if (context.json) {
    PrintJson({{"device_id", identity.device_id},
               {"name", identity.name},
               {"coordinator", fmt::format("{}:{}", identity.host, identity.port)},
               {"dir", context.folder.root}});
    return absl::OkStatus();
  }
  PrintLine(fmt::format("enrolled {} as {} at {}:{}", identity.name, identity.device_id, identity.host, identity.port));
  PrintLine(fmt::format("next: fleetune-client --dir {} data add FILE, then fleetune-client --dir {} run",
                        context.folder.root, context.folder.root));
  return absl::OkStatus();
}

}  // namespace fleetune
