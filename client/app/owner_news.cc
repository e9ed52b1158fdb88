#include "client/app/owner_news.h"

#include <optional>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "client/app/privacy_words.h"
#include "client/data/audit_log.h"

namespace fleetune {

absl::Status OwnerNews::Audit(const std::string& note, const DeviceState& state) {
  const bool leaves = note.starts_with("sending");
  const std::optional<PendingUpdate>& pending = state.pending;
  uint64_t bytes = leaves && pending.has_value() ? pending->size : 0;
  if (bytes > 0 && pending->seat.has_value() && pending->seat->masked.has_value()) bytes = pending->seat->masked->size;
  return stores_.audit
      .Append({.time = clock_.Now(),
               .direction = leaves ? AuditDirection::kLeft : AuditDirection::kLocal,
               .bytes = bytes,
               .text = note.substr(0, kMaxAuditTextBytes)})
      .status();
}

void OwnerNews::Tell(const std::vector<KnownTask>& known) {
  std::vector<TaskPrivacy> tasks;
  for (const KnownTask& task : known) {
    tasks.push_back({.task = task.plan.task, .secure = task.plan.secure, .privacy = task.plan.privacy});
  }
  if (tasks == tasks_) return;
  const absl::Status written = stores_.state.WriteTasks(tasks);
  if (!written.ok()) return spdlog::warn("tasks: {}", std::string(written.message()));
  for (const TaskPrivacy& task : tasks) {
    spdlog::info("updates of task {} are {}; {}", task.task, MaskWords(task.secure), NoiseWords(task.privacy));
  }
  tasks_ = std::move(tasks);
}

void OwnerNews::Tell(const ServedVersion& version) {
  spdlog::info("adapter task={} version={} hash={} answers now", version.task, version.version, version.hash.ToHex());
  const absl::Status status =
      stores_.audit
          .Append({.time = clock_.Now(),
                   .direction = version.version == 0 ? AuditDirection::kLocal : AuditDirection::kCame,
                   .bytes = 0,
                   .text = fmt::format("prompts are answered with version {} of the adapter of task {} from now on",
                                       version.version, version.task)})
          .status();
  if (!status.ok()) spdlog::warn("audit log: {}", std::string(status.message()));
}

bool OwnerNews::Tell(const TrainingRun& run) {
  const TrainingProgress& progress = run.progress();
  if (progress.step == 0 || progress.steps == 0) return false;
  const uint32_t tenth = 10 * progress.step / progress.steps;
  if (progress.step != 1 && tenth == told_tenth_) return false;
  if (progress.step == told_step_) return false;
  told_tenth_ = tenth;
  told_step_ = progress.step;
  spdlog::info("training round={} step={} of={} loss={:.4f} tokens={}", run.order().order.round, progress.step,
               progress.steps, progress.loss, progress.tokens);
  return true;
}

}  // namespace fleetune
