#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/status_macros.h"
#include "coordinator/admin/session.h"
#include "coordinator/admin/text_table.h"
#include "coordinator/admin/verb.h"

namespace fleetune {
namespace {

struct AuditOptions {
  uint64_t after = 0;
  uint32_t limit = 100;
};
struct NoOptions {};

absl::Status Audit(AdminSession& session, const AuditOptions& options) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::ReadAuditRequest request;
  request.set_after_sequence(options.after);
  request.set_limit(options.limit);
  v1::ReadAuditResponse response;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::ReadAudit, request, &response));
  if (!session.PrintedJson(response)) {
    TextTable table({"#", "TIME", "WHO", "ACTION", "DETAIL"});
    for (const v1::AuditEntry& entry : response.entries()) {
      table.Add({std::to_string(entry.sequence()), FormatTime(entry.unix_ms()), entry.actor(), entry.action(),
                 entry.detail()});
    }
    std::fputs(table.Format().c_str(), stdout);
  }
  if (response.chain_intact()) return absl::OkStatus();
  return absl::DataLossError("the audit log's chain of hashes is broken: records were changed or removed");
}

absl::Status Status(AdminSession& session, const NoOptions&) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::GetStatusResponse status;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::GetStatus, v1::GetStatusRequest(), &status));
  if (session.PrintedJson(status)) return absl::OkStatus();
  const int64_t now = ToMillis(SystemClock().Now());
  std::fputs(FormatFacts({{"coordinator", fmt::format("{} (version {})", connection->address(),
                                                      status.software_version())},
                          {"up", FormatSpan(now - status.started_unix_ms())},
                          {"devices", fmt::format("{}, {} seen in the last hour", status.devices(),
                                                  status.devices_seen_last_hour())},
                          {"tasks", std::to_string(status.tasks())},
                          {"open rounds", std::to_string(status.open_rounds())},
                          {"database", FormatBytes(status.database_bytes())}})
                 .c_str(),
             stdout);
  return absl::OkStatus();
}

absl::Status Backup(AdminSession& session, const NoOptions&) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::BackupResponse response;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::Backup, v1::BackupRequest(), &response,
                                   std::chrono::minutes(10)));
  if (session.PrintedJson(response)) return absl::OkStatus();
  std::printf("on the coordinator's machine: %s (%s)\n", response.path().c_str(),
              FormatBytes(response.size()).c_str());
  return absl::OkStatus();
}

}  // namespace

void AddFleetVerbs(CLI::App& app, AdminSession& session) {
  AddVerb<AuditOptions>(
      app, session, {"audit", "Who did what; checks the chain of hashes"},
      [](CLI::App& verb, AuditOptions& options) {
        verb.add_option("--after", options.after, "Only entries with a higher number");
        verb.add_option("--limit", options.limit, "At most so many, up to 1000")
            ->capture_default_str()
            ->check(CLI::Range(1, 1000));
      },
      Audit);
  AddVerb<NoOptions>(
      app, session, {"status", "How the fleet is"}, [](CLI::App&, NoOptions&) {}, Status);
  AddVerb<NoOptions>(
      app, session, {"backup", "Copy the coordinator's database beside it while it runs"},
      [](CLI::App&, NoOptions&) {}, Backup);
}

}  // namespace fleetune
