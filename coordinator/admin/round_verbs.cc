#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/status_macros.h"
#include "coordinator/admin/privacy_words.h"
#include "coordinator/admin/round_watch.h"
#include "coordinator/admin/session.h"
#include "coordinator/admin/text_table.h"
#include "coordinator/admin/verb.h"

namespace fleetune {
namespace {

struct RoundVerbOptions {
  std::string task;
  std::string round;
  std::string reason = "by hand";
  bool wait = false;
};

std::string EncodingInWords(const v1::RoundSummary& round) {
  if (round.has_privacy()) return "not told: no device tells how its update was cut where there is noise";
  return fmt::format(
      "{:.4g} % of coordinates cut off, {:.4g} % of devices clipped, peak at {:.3g} % of the range",
      100 * round.clamped_share(), 100 * round.clipped_devices_share(), 100 * round.mean_peak_share());
}

absl::Status PrintRound(const AdminSession& session, const v1::RoundSummary& round) {
  if (session.PrintedJson(round)) return absl::OkStatus();
  const int64_t until =
      round.ended_unix_ms() == 0 ? ToMillis(SystemClock().Now()) : round.ended_unix_ms();
  std::fputs(FormatFacts({{"round", round.id()},
                          {"task", fmt::format("{} (its round {})", round.task(), round.number())},
                          {"state", round.reason().empty() ? round.state() : round.state() + ": " + round.reason()},
                          {"versions", round.made_version() == 0
                                           ? fmt::format("from {}", round.from_version())
                                           : fmt::format("{} -> {}", round.from_version(), round.made_version())},
                          {"updates", fmt::format("{} counted, {} needed, {} invited, {} declined", round.counted(),
                                                  round.needed(), round.invited(), round.declined())},
                          {"total weight", fmt::format("{:.6g}", round.total_weight())},
                          {"mean delta norm", fmt::format("{:.6g}", round.mean_delta_norm())},
                          {"encoding", EncodingInWords(round)},
                          {"epsilon", round.has_privacy() ? RoundSpentInWords(round) : "-"},
                          {"epsilon in all", round.has_privacy() ? SpentInWords(round.privacy()) : "-"},
                          {"bytes", fmt::format("{} up, {} down", FormatBytes(round.bytes_up()),
                                                FormatBytes(round.bytes_down()))},
                          {"took", FormatSpan(until - round.started_unix_ms())}})
                 .c_str(),
             stdout);
  if (round.cells_size() > 0) {
    TextTable cells({"CELL", "STATE", "SEATS", "COUNTED", "REASON"});
    for (const v1::CellSummary& cell : round.cells()) {
      cells.Add({std::to_string(cell.number()), cell.state(), std::to_string(cell.seats()),
                 std::to_string(cell.counted()), cell.reason()});
    }
    std::printf("\n%s", cells.Format().c_str());
  }
  if (round.devices_size() == 0) return absl::OkStatus();
  TextTable table({"DEVICE", "STATE", "REASON"});
  for (const v1::RoundDevice& device : round.devices()) table.Add({device.device(), device.state(), device.reason()});
  std::printf("\n%s", table.Format().c_str());
  return absl::OkStatus();
}

// A round that was aborted is a failure of who waited for it.
absl::Status WaitAndPrint(AdminSession& session, const std::string& id) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  ASSIGN_OR_RETURN(const v1::RoundSummary round, WatchRound(*connection, id));
  RETURN_IF_ERROR(PrintRound(session, round));
  if (round.state() == "done") return absl::OkStatus();
  return absl::AbortedError(fmt::format("round {} was aborted: {}", round.id(), round.reason()));
}

absl::Status Start(AdminSession& session, const RoundVerbOptions& options) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::StartRoundRequest request;
  request.set_task(options.task);
  v1::RoundSummary round;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::StartRound, request, &round));
  if (options.wait) return WaitAndPrint(session, round.id());
  RETURN_IF_ERROR(PrintRound(session, round));
  if (!session.json) std::printf("follow it: fleetune round watch %s\n", round.id().c_str());
  return absl::OkStatus();
}

absl::Status Show(AdminSession& session, const RoundVerbOptions& options) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::GetRoundRequest request;
  request.set_id(options.round);
  v1::RoundSummary round;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::GetRound, request, &round));
  return PrintRound(session, round);
}

absl::Status List(AdminSession& session, const RoundVerbOptions& options) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::ListRoundsRequest request;
  request.set_task(options.task);
  v1::ListRoundsResponse response;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::ListRounds, request, &response));
  if (session.PrintedJson(response)) return absl::OkStatus();
  TextTable table({"ROUND", "TASK", "STATE", "FROM", "MADE", "COUNTED", "UP", "DOWN", "STARTED"});
  for (const v1::RoundSummary& round : response.rounds()) {
    table.Add({round.id(), round.task(), round.state(), std::to_string(round.from_version()),
               round.made_version() == 0 ? "-" : std::to_string(round.made_version()),
               fmt::format("{}/{}", round.counted(), round.needed()), FormatBytes(round.bytes_up()),
               FormatBytes(round.bytes_down()), FormatTime(round.started_unix_ms())});
  }
  std::fputs(table.Format().c_str(), stdout);
  if (table.size() == 0) std::puts("(none; start one: fleetune round start TASK)");
  return absl::OkStatus();
}

absl::Status Abort(AdminSession& session, const RoundVerbOptions& options) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::AbortRoundRequest request;
  request.set_id(options.round);
  request.set_reason(options.reason);
  v1::RoundSummary round;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::AbortRound, request, &round));
  return PrintRound(session, round);
}

void DeclareRound(CLI::App& verb, RoundVerbOptions& options) {
  verb.add_option("round", options.round, "Id of the round")->required();
}

}  // namespace

void AddRoundVerbs(CLI::App& app, AdminSession& session) {
  CLI::App* noun = app.add_subcommand("round", "Train: start a round, follow it, end it");
  noun->require_subcommand(1);
  AddVerb<RoundVerbOptions>(
      *noun, session, {"start", "Start a round of a task"},
      [](CLI::App& verb, RoundVerbOptions& options) {
        verb.add_option("task", options.task, "Name of the task")->required();
        verb.add_flag("--wait", options.wait, "Follow it to its end; exit code 1 if it is aborted");
      },
      Start);
  AddVerb<RoundVerbOptions>(
      *noun, session, {"watch", "Follow a round to its end; exit code 1 if it is aborted"}, DeclareRound,
      [](AdminSession& s, const RoundVerbOptions& options) { return WaitAndPrint(s, options.round); });
  AddVerb<RoundVerbOptions>(
      *noun, session, {"list", "Rounds, the newest first"},
      [](CLI::App& verb, RoundVerbOptions& options) { verb.add_option("task", options.task, "Of this task only"); },
      List);
  AddVerb<RoundVerbOptions>(*noun, session, {"show", "One round with its devices"}, DeclareRound, Show);
  AddVerb<RoundVerbOptions>(
      *noun, session, {"abort", "End an open round without a new version"},
      [](CLI::App& verb, RoundVerbOptions& options) {
        DeclareRound(verb, options);
        verb.add_option("--reason", options.reason, "For the books")->capture_default_str();
      },
      Abort);
}

}  // namespace fleetune
