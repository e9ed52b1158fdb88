#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "base/status_macros.h"
#include "coordinator/admin/duration.h"
#include "coordinator/admin/session.h"
#include "coordinator/admin/text_table.h"
#include "coordinator/admin/verb.h"

namespace fleetune {
namespace {

struct CreateOptions {
  uint32_t uses = 1;
  std::string lifetime = "24h";
  std::vector<std::string> tags;
  std::string device_address;
};

absl::Status Create(AdminSession& session, const CreateOptions& options) {
  ASSIGN_OR_RETURN(const std::chrono::seconds lifetime, ParseDuration(options.lifetime));
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::CreateTokenRequest request;
  request.set_uses(options.uses);
  request.set_lifetime_seconds(static_cast<uint64_t>(lifetime.count()));
  request.mutable_tags()->Add(options.tags.begin(), options.tags.end());
  request.set_address(options.device_address.empty() ? connection->address() : options.device_address);
  v1::CreateTokenResponse response;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::CreateToken, request, &response));
  if (session.PrintedJson(response)) return absl::OkStatus();
  std::printf("%s\n", response.token().c_str());
  std::fprintf(stderr,
               "For %u device%s, until %s; devices connect to %s.\n"
               "On the device: fleetune-client enroll --dir DIR --token TOKEN. It is shown only now; whoever has it can "
               "enrol.\n",
               options.uses, options.uses == 1 ? "" : "s", FormatTime(response.expires_unix_ms()).c_str(),
               request.address().c_str());
  return absl::OkStatus();
}

}  // namespace

void AddTokenVerbs(CLI::App& app, AdminSession& session) {
  CLI::App* noun = app.add_subcommand("token", "Let devices enrol");
  noun->require_subcommand(1);
  AddVerb<CreateOptions>(
      *noun, session, {"create", "Make a token with which devices enrol; prints it to standard output"},
      [](CLI::App& verb, CreateOptions& options) {
        verb.add_option("--uses", options.uses, "Devices that may enrol with it, 1 to 100000")
            ->capture_default_str()
            ->check(CLI::Range(1, 100000));
        verb.add_option("--lifetime", options.lifetime, "How long it is good: 90s, 30m, 24h or 7d")
            ->capture_default_str();
        verb.add_option("--tag", options.tags, "Tag of the devices that enrol with it; may be repeated")
            ->delimiter(',');
        verb.add_option("--device-address", options.device_address,
                        "HOST:PORT under which devices reach the coordinator; default: the one that this program uses");
      },
      Create);
}

}  // namespace fleetune
