#include <filesystem>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "client/app/print.h"
#include "client/app/verbs.h"
#include "client/data/audit_log.h"
#include "client/data/checkpoint_files.h"
#include "client/data/control_files.h"
#include "client/data/example_store.h"
#include "client/data/learned_files.h"
#include "client/personal/personal_shelf.h"
#include "lora/records/record.h"

namespace fleetune {
namespace {

absl::Status MakeFolder(const DeviceFolder& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder.root, error);
  if (error) return absl::UnavailableError(fmt::format("{}: {}", folder.root, error.message()));
  return absl::OkStatus();
}

absl::Status Audit(const DeviceFolder& folder, const Clock& clock, const std::string& text) {
  ASSIGN_OR_RETURN(DeviceAuditLog audit, DeviceAuditLog::Open(folder.root));
  return audit.Append({.time = clock.Now(), .direction = AuditDirection::kLocal, .bytes = 0, .text = text}).status();
}

}  // namespace

absl::Status AddDataVerb(const VerbContext& context, const std::vector<std::string>& files, const std::string& tag) {
  RETURN_IF_ERROR(MakeFolder(context.folder));
  // All files are read before anything is added: a mistake in the last one leaves the store as it was.
  std::vector<Record> records;
  for (const std::string& file : files) {
    ASSIGN_OR_RETURN(std::vector<Record> more, ReadRecords(file));
    records.insert(records.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  const SystemClock clock;
  ASSIGN_OR_RETURN(ExampleStore store, ExampleStore::Open(context.folder.root, clock));
  ASSIGN_OR_RETURN(AddedExamples added, store.Add(tag, records));
  RETURN_IF_ERROR(Audit(context.folder, clock,
                        fmt::format("{} examples were added under the tag {}; they stay on this device", added.added,
                                    tag)));
  if (context.json) {
    PrintJson({{"tag", tag}, {"added", added.added}, {"duplicates", added.duplicates}, {"files", files.size()}});
  } else {
    PrintLine(fmt::format("added {} examples under tag {} ({} duplicates skipped)", added.added, tag, added.duplicates));
  }
  return absl::OkStatus();
}

absl::Status DataStatsVerb(const VerbContext& context) {
  RETURN_IF_ERROR(MakeFolder(context.folder));
  const SystemClock clock;
  ASSIGN_OR_RETURN(ExampleStore store, ExampleStore::Open(context.folder.root, clock));
  ASSIGN_OR_RETURN(std::vector<TagStats> stats, store.Stats());
  if (context.json) {
    nlohmann::json tags = nlohmann::json::array();
    for (const TagStats& tag : stats) {
      tags.push_back({{"tag", tag.tag},
                      {"examples", tag.examples},
                      {"bytes", tag.bytes},
                      {"first_added", ToMillis(tag.first_added)},
                      {"last_added", ToMillis(tag.last_added)}});
    }
    PrintJson({{"tags", tags}});
    return absl::OkStatus();
  }
  if (stats.empty()) PrintLine("no examples yet: fleetune-client data add FILE");
  for (const TagStats& tag : stats) {
    PrintLine(fmt::format("{:<24} {:>8} examples {:>12} bytes, last added {}", tag.tag, tag.examples, tag.bytes,
                          FormatTime(tag.last_added)));
  }
  return absl::OkStatus();
}

absl::Status PurgeDataVerb(const VerbContext& context) {
  RETURN_IF_ERROR(MakeFolder(context.folder));
  const SystemClock clock;
  absl::StatusOr<ExampleStore> store = ExampleStore::Open(context.folder.root, clock);
  RETURN_IF_ERROR(store.ok() ? store->Purge() : ExampleStore::PurgeFolder(context.folder.root));
  RETURN_IF_ERROR(CheckpointFiles::DeleteAll(context.folder.root));
  RETURN_IF_ERROR(ControlFiles::DeleteAll(context.folder.root));
  RETURN_IF_ERROR(DeleteLearnedFiles(context.folder.prompts(), [](const std::string&) { return true; }));
  ASSIGN_OR_RETURN(const uint32_t personal, PersonalShelf::DeleteAll(context.folder.root));
  const std::string what = std::string("all examples, what trainings on them kept on this device, what the API kept of prompts, ") +
                           (personal > 0 ? "the personal adapter that was learned from them, " : "") + "and the key to all of it";
  RETURN_IF_ERROR(Audit(context.folder, clock, what + " were destroyed"));
  if (context.json) {
    PrintJson({{"purged", true}, {"personal_adapters", personal}});
  } else {
    PrintLine(what + " are destroyed; the audit log stays");
  }
  return absl::OkStatus();
}

}  // namespace fleetune
