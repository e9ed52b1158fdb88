#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "base/files.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "coordinator/admin/session.h"
#include "coordinator/admin/text_table.h"
#include "coordinator/admin/verb.h"

namespace fleetune {
namespace {

struct AdapterVerbOptions {
  std::string task;
  uint32_t version = 0;
  uint32_t to = 0;
  std::string format = "fleetune";
  std::string out = ".";
  bool force = false;
};

std::string Marks(const v1::VersionSummary& version) {
  if (version.head() && version.released()) return "head, released";
  if (version.head()) return "head";
  return version.released() ? "released" : "";
}

absl::StatusOr<v1::ListVersionsResponse> Versions(AdminSession& session, const std::string& task) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::ListVersionsRequest request;
  request.set_task(task);
  v1::ListVersionsResponse response;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::ListVersions, request, &response));
  return response;
}

absl::Status List(AdminSession& session, const AdapterVerbOptions& options) {
  ASSIGN_OR_RETURN(const v1::ListVersionsResponse response, Versions(session, options.task));
  if (session.PrintedJson(response)) return absl::OkStatus();
  TextTable table({"VERSION", "PARENT", "ROUND", "UPDATE", "SNAPSHOT", "MADE", "HASH", ""});
  for (const v1::VersionSummary& version : response.versions()) {
    table.Add({std::to_string(version.version()), version.version() == 0 ? "-" : std::to_string(version.parent()),
               version.round().empty() ? "-" : version.round(), FormatBytes(version.update_bytes()),
               FormatBytes(version.snapshot_bytes()), FormatTime(version.made_unix_ms()),
               ToHex(AsBytes(version.hash())).substr(0, 16), Marks(version)});
  }
  std::fputs(table.Format().c_str(), stdout);
  return absl::OkStatus();
}

absl::Status Show(AdminSession& session, const AdapterVerbOptions& options) {
  ASSIGN_OR_RETURN(const v1::ListVersionsResponse response, Versions(session, options.task));
  for (const v1::VersionSummary& version : response.versions()) {
    if (version.version() != options.version) continue;
    if (session.PrintedJson(version)) return absl::OkStatus();
    std::fputs(FormatFacts({{"task", version.task()},
                            {"version", std::to_string(version.version())},
                            {"parent", std::to_string(version.parent())},
                            {"round", version.round()},
                            {"hash", ToHex(AsBytes(version.hash()))},
                            {"update", FormatBytes(version.update_bytes())},
                            {"snapshot", FormatBytes(version.snapshot_bytes())},
                            {"made", FormatTime(version.made_unix_ms())},
                            {"is", Marks(version)}})
                   .c_str(),
               stdout);
    return absl::OkStatus();
  }
  return absl::NotFoundError(fmt::format("task {} has no version {}", options.task, options.version));
}

absl::Status Diff(AdminSession& session, const AdapterVerbOptions& options) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::DiffVersionsRequest request;
  request.set_task(options.task);
  request.set_from(options.version);
  request.set_to(options.to);
  v1::DiffVersionsResponse response;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::DiffVersions, request, &response));
  if (session.PrintedJson(response)) return absl::OkStatus();
  TextTable table({"MODULE", "NORM", "RELATIVE"});
  for (const v1::ModuleDiff& module : response.modules()) {
    table.Add({module.module(), fmt::format("{:.6g}", module.norm()),
               module.relative() == 0 ? "-" : fmt::format("{:.4g}", module.relative())});
  }
  table.Add({"all", fmt::format("{:.6g}", response.norm()), ""});
  std::fputs(table.Format().c_str(), stdout);
  return absl::OkStatus();
}

// The coordinator names the files; it must not choose where they go.
absl::Status CheckFileName(const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) {
    return absl::DataLossError(fmt::format("the coordinator sent a file named '{}'", Printable(name)));
  }
  return absl::OkStatus();
}

absl::Status Export(AdminSession& session, const AdapterVerbOptions& options) {
  namespace fs = std::filesystem;
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::ExportVersionRequest request;
  request.set_task(options.task);
  request.set_version(options.version);
  request.set_format(options.format);
  v1::ExportVersionResponse response;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::ExportVersion, request, &response,
                                   std::chrono::minutes(10)));
  std::error_code error;
  fs::create_directories(options.out, error);
  for (const v1::ExportedFile& file : response.files()) {
    RETURN_IF_ERROR(CheckFileName(file.name()));
    const std::string path = (fs::path(options.out) / file.name()).string();
    if (!options.force && fs::exists(path, error)) {
      return absl::AlreadyExistsError(fmt::format("{}: is there already; --force writes over it", path));
    }
  }
  nlohmann::ordered_json written = nlohmann::ordered_json::array();
  for (const v1::ExportedFile& file : response.files()) {
    const std::string path = (fs::path(options.out) / file.name()).string();
    RETURN_IF_ERROR(WriteFileAtomic(path, AsBytes(file.content())));
    written.push_back({{"name", file.name()}, {"path", path}, {"size", file.content().size()}});
    if (!session.json) std::printf("wrote %s (%s)\n", path.c_str(), FormatBytes(file.content().size()).c_str());
  }
  if (session.json) std::printf("%s\n", nlohmann::ordered_json{{"files", written}}.dump(2).c_str());
  return absl::OkStatus();
}

absl::Status PrintRelease(const AdminSession& session, const v1::TaskSummary& task) {
  if (session.PrintedJson(task)) return absl::OkStatus();
  std::printf("%s: devices answer with version %u; the next round trains from version %u\n", task.name().c_str(),
              task.released_version(), task.head_version());
  return absl::OkStatus();
}

absl::Status Release(AdminSession& session, const AdapterVerbOptions& options) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::ReleaseVersionRequest request;
  request.set_task(options.task);
  request.set_version(options.version);
  v1::TaskSummary task;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::ReleaseVersion, request, &task));
  return PrintRelease(session, task);
}

absl::Status Rollback(AdminSession& session, const AdapterVerbOptions& options) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::RollbackReleaseRequest request;
  request.set_task(options.task);
  request.set_version(options.to);
  v1::TaskSummary task;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::RollbackRelease, request, &task));
  return PrintRelease(session, task);
}

void DeclareTask(CLI::App& verb, AdapterVerbOptions& options) {
  verb.add_option("task", options.task, "Name of the task")->required();
}

void DeclareVersion(CLI::App& verb, AdapterVerbOptions& options) {
  DeclareTask(verb, options);
  verb.add_option("version", options.version, "Version of the adapter")->required();
}

}  // namespace

void AddAdapterVerbs(CLI::App& app, AdminSession& session) {
  CLI::App* noun = app.add_subcommand("adapter", "Versions that rounds made: judge, take out, release, roll back");
  noun->require_subcommand(1);
  AddVerb<AdapterVerbOptions>(*noun, session, {"list", "All versions of a task"}, DeclareTask, List);
  AddVerb<AdapterVerbOptions>(*noun, session, {"show", "One version"}, DeclareVersion, Show);
  AddVerb<AdapterVerbOptions>(
      *noun, session, {"diff", "How far two versions are apart, by module"},
      [](CLI::App& verb, AdapterVerbOptions& options) {
        DeclareTask(verb, options);
        verb.add_option("from", options.version, "Version to begin from")->required();
        verb.add_option("to", options.to, "Version to compare with it")->required();
      },
      Diff);
  AddVerb<AdapterVerbOptions>(
      *noun, session, {"export", "Write a version to files for other programs"},
      [](CLI::App& verb, AdapterVerbOptions& options) {
        DeclareVersion(verb, options);
        verb.add_option("--format", options.format, "fleetune, peft or gguf")
            ->capture_default_str()
            ->check(CLI::IsMember({"fleetune", "peft", "gguf"}));
        verb.add_option("--out", options.out, "Folder for the files; made if need be")->capture_default_str();
        verb.add_flag("--force", options.force, "Write over files that are there");
      },
      Export);
  AddVerb<AdapterVerbOptions>(*noun, session, {"release", "Let devices answer with a version"}, DeclareVersion,
                              Release);
  AddVerb<AdapterVerbOptions>(
      *noun, session, {"rollback", "Back to the version that was released before"},
      [](CLI::App& verb, AdapterVerbOptions& options) {
        DeclareTask(verb, options);
        verb.add_option("--to", options.to, "An earlier version instead of the one before");
      },
      Rollback);
}

}  // namespace fleetune
