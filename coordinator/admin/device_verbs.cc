#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/clock.h"
#include "base/status_macros.h"
#include "coordinator/admin/session.h"
#include "coordinator/admin/text_table.h"
#include "coordinator/admin/verb.h"

namespace fleetune {
namespace {

struct DeviceOptions {
  std::string device;
  std::vector<std::string> add;
  std::vector<std::string> remove;
};

std::string Tags(const v1::DeviceSummary& device) { return fmt::format("{}", fmt::join(device.tags(), ",")); }

std::string Readiness(const v1::DeviceSummary& device) {
  if (device.revoked()) return "revoked";
  if (device.last_seen_unix_ms() == 0) return "not seen yet";
  if (device.ready_to_train()) return device.not_invited().empty() ? "ready" : "not invited: " + device.not_invited();
  return device.not_ready_reason().empty() ? "not ready" : "not ready: " + device.not_ready_reason();
}

absl::StatusOr<v1::DeviceSummary> FindDevice(AdminConnection& connection, const std::string& id_or_name) {
  v1::ListDevicesRequest request;
  request.set_id(id_or_name);
  v1::ListDevicesResponse response;
  RETURN_IF_ERROR(connection.Call(&v1::AdminService::Stub::ListDevices, request, &response));
  if (response.devices_size() == 0) {
    return absl::NotFoundError(fmt::format("there is no device with the id or name '{}'", id_or_name));
  }
  if (response.devices_size() > 1) {
    std::string ids;
    for (const v1::DeviceSummary& device : response.devices()) ids += " " + device.id();
    return absl::InvalidArgumentError(
        fmt::format("{} devices have the name '{}'; say which by id:{}", response.devices_size(), id_or_name, ids));
  }
  return response.devices(0);
}

absl::Status PrintDevice(const AdminSession& session, const v1::DeviceSummary& device) {
  if (session.PrintedJson(device)) return absl::OkStatus();
  const int64_t now = ToMillis(SystemClock().Now());
  std::fputs(FormatFacts({{"id", device.id()},
                          {"name", device.name()},
                          {"tags", Tags(device)},
                          {"state", Readiness(device)},
                          {"profile", device.profile()},
                          {"memory budget", FormatBytes(device.memory_budget_bytes())},
                          {"software", device.software_version()},
                          {"enrolled", FormatTime(device.enrolled_unix_ms())},
                          {"last seen", FormatAgo(device.last_seen_unix_ms(), now)},
                          {"examples", std::to_string(device.examples())},
                          {"rounds counted", std::to_string(device.rounds_counted())}})
                 .c_str(),
             stdout);
  return absl::OkStatus();
}

absl::Status List(AdminSession& session, const DeviceOptions&) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::ListDevicesResponse response;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::ListDevices, v1::ListDevicesRequest(), &response));
  if (session.PrintedJson(response)) return absl::OkStatus();
  TextTable table({"ID", "NAME", "TAGS", "EXAMPLES", "ROUNDS", "LAST SEEN", "STATE"});
  const int64_t now = ToMillis(SystemClock().Now());
  for (const v1::DeviceSummary& device : response.devices()) {
    table.Add({device.id(), device.name(), Tags(device), std::to_string(device.examples()),
               std::to_string(device.rounds_counted()), FormatAgo(device.last_seen_unix_ms(), now),
               Readiness(device)});
  }
  std::fputs(table.Format().c_str(), stdout);
  if (table.size() == 0) std::puts("(none; enrol some with a token: fleetune token create)");
  return absl::OkStatus();
}

absl::Status Show(AdminSession& session, const DeviceOptions& options) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  ASSIGN_OR_RETURN(const v1::DeviceSummary device, FindDevice(*connection, options.device));
  return PrintDevice(session, device);
}

absl::Status Tag(AdminSession& session, const DeviceOptions& options) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  ASSIGN_OR_RETURN(const v1::DeviceSummary device, FindDevice(*connection, options.device));
  v1::TagDeviceRequest request;
  request.set_id(device.id());
  request.mutable_add()->Add(options.add.begin(), options.add.end());
  request.mutable_remove()->Add(options.remove.begin(), options.remove.end());
  v1::DeviceSummary tagged;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::TagDevice, request, &tagged));
  return PrintDevice(session, tagged);
}

absl::Status Revoke(AdminSession& session, const DeviceOptions& options) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  ASSIGN_OR_RETURN(const v1::DeviceSummary device, FindDevice(*connection, options.device));
  v1::RevokeDeviceRequest request;
  request.set_id(device.id());
  v1::DeviceSummary revoked;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::RevokeDevice, request, &revoked));
  return PrintDevice(session, revoked);
}

void DeclareDevice(CLI::App& verb, DeviceOptions& options) {
  verb.add_option("device", options.device, "Id or name")->required();
}

}  // namespace

void AddDeviceVerbs(CLI::App& app, AdminSession& session) {
  CLI::App* noun = app.add_subcommand("device", "See, tag and revoke devices");
  noun->require_subcommand(1);
  AddVerb<DeviceOptions>(
      *noun, session, {"list", "All devices of the fleet"}, [](CLI::App&, DeviceOptions&) {}, List);
  AddVerb<DeviceOptions>(*noun, session, {"show", "One device"}, DeclareDevice, Show);
  AddVerb<DeviceOptions>(
      *noun, session, {"tag", "Add or remove tags, by which tasks choose devices"},
      [](CLI::App& verb, DeviceOptions& options) {
        DeclareDevice(verb, options);
        verb.add_option("--add", options.add, "Tag to add; may be repeated")->delimiter(',');
        verb.add_option("--remove", options.remove, "Tag to remove; may be repeated")->delimiter(',');
      },
      Tag);
  AddVerb<DeviceOptions>(*noun, session, {"revoke", "Lock a device out for good"}, DeclareDevice, Revoke);
}

}  // namespace fleetune
