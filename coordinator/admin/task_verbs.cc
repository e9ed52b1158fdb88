#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "coordinator/admin/privacy_words.h"
#include "coordinator/admin/session.h"
#include "coordinator/admin/text_table.h"
#include "coordinator/admin/verb.h"

namespace fleetune {
namespace {

constexpr uint64_t kMaxTomlBytes = 64 * 1024;

struct TaskOptions {
  std::string task;
  std::string file;
};

absl::Status PrintTask(const AdminSession& session, const v1::TaskSummary& task) {
  if (session.PrintedJson(task)) return absl::OkStatus();
  std::fputs(FormatFacts({{"name", task.name()},
                          {"state", task.paused() ? "paused" : "active"},
                          {"base model", task.model_name()},
                          {"protection", task.protection()},
                          {"method", task.method()},
                          {"epsilon", task.has_privacy() ? SpentInWords(task.privacy()) : "-"},
                          {"trained parameters", std::to_string(task.trained_parameters())},
                          {"head version", std::to_string(task.head_version())},
                          {"released version", std::to_string(task.released_version())},
                          {"rounds finished", std::to_string(task.rounds_finished())},
                          {"open round", task.open_round().empty() ? "-" : task.open_round()}})
                 .c_str(),
             stdout);
  return absl::OkStatus();
}

absl::Status Create(AdminSession& session, const TaskOptions& options) {
  ASSIGN_OR_RETURN(const Bytes toml, ReadFile(options.file, kMaxTomlBytes));
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::CreateTaskRequest request;
  request.set_toml(std::string(AsText(toml)));
  v1::CreateTaskResponse response;
  absl::Status created = connection->Call(&v1::AdminService::Stub::CreateTask, request, &response);
  if (absl::IsInvalidArgument(created)) {
    return absl::InvalidArgumentError(fmt::format("{}: {}", options.file, std::string(created.message())));
  }
  RETURN_IF_ERROR(created);
  for (const std::string& warning : response.warnings()) {
    std::fprintf(stderr, "warning: %s\n", Printable(warning).c_str());
  }
  if (session.PrintedJson(response)) return absl::OkStatus();
  RETURN_IF_ERROR(PrintTask(session, response.task()));
  std::printf("next: fleetune round start %s --wait\n", response.task().name().c_str());
  return absl::OkStatus();
}

absl::StatusOr<v1::ListTasksResponse> Tasks(AdminSession& session, const std::string& name) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::ListTasksRequest request;
  request.set_name(name);
  v1::ListTasksResponse response;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::ListTasks, request, &response));
  return response;
}

absl::Status List(AdminSession& session, const TaskOptions&) {
  ASSIGN_OR_RETURN(const v1::ListTasksResponse response, Tasks(session, ""));
  if (session.PrintedJson(response)) return absl::OkStatus();
  TextTable table({"NAME", "BASE", "STATE", "HEAD", "RELEASED", "ROUNDS", "OPEN ROUND"});
  for (const v1::TaskSummary& task : response.tasks()) {
    table.Add({task.name(), task.model_name(), task.paused() ? "paused" : "active", std::to_string(task.head_version()),
               std::to_string(task.released_version()), std::to_string(task.rounds_finished()),
               task.open_round().empty() ? "-" : task.open_round()});
  }
  std::fputs(table.Format().c_str(), stdout);
  if (table.size() == 0) std::puts("(none; make one: fleetune task create FILE.toml)");
  return absl::OkStatus();
}

absl::Status Show(AdminSession& session, const TaskOptions& options) {
  ASSIGN_OR_RETURN(const v1::ListTasksResponse response, Tasks(session, options.task));
  if (response.tasks_size() != 1) {
    return absl::NotFoundError(fmt::format("there is no task '{}'", options.task));
  }
  RETURN_IF_ERROR(PrintTask(session, response.tasks(0)));
  if (!session.json) std::printf("\n%s", response.tasks(0).toml().c_str());
  return absl::OkStatus();
}

absl::Status SetPaused(AdminSession& session, const TaskOptions& options, bool paused) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::PauseTaskRequest request;
  request.set_name(options.task);
  request.set_paused(paused);
  v1::TaskSummary task;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::PauseTask, request, &task));
  return PrintTask(session, task);
}

void DeclareTask(CLI::App& verb, TaskOptions& options) {
  verb.add_option("task", options.task, "Name of the task")->required();
}

}  // namespace

void AddTaskVerbs(CLI::App& app, AdminSession& session) {
  CLI::App* noun = app.add_subcommand("task", "What is trained, on which devices, and how");
  noun->require_subcommand(1);
  AddVerb<TaskOptions>(
      *noun, session, {"create", "Make a task from a TOML file; prints warnings"},
      [](CLI::App& verb, TaskOptions& options) {
        verb.add_option("file", options.file, "TOML file")->required()->check(CLI::ExistingFile);
      },
      Create);
  AddVerb<TaskOptions>(
      *noun, session, {"list", "All tasks"}, [](CLI::App&, TaskOptions&) {}, List);
  AddVerb<TaskOptions>(*noun, session, {"show", "One task, with every setting"}, DeclareTask, Show);
  AddVerb<TaskOptions>(*noun, session, {"pause", "Start no more rounds of a task"}, DeclareTask,
                       [](AdminSession& s, const TaskOptions& options) { return SetPaused(s, options, true); });
  AddVerb<TaskOptions>(*noun, session, {"resume", "Let a paused task have rounds again"}, DeclareTask,
                       [](AdminSession& s, const TaskOptions& options) { return SetPaused(s, options, false); });
}

}  // namespace fleetune
