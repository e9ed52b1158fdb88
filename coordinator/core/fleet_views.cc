// What operators see.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "coordinator/core/audit_chain.h"
#include "coordinator/core/device_report.h"
#include "coordinator/core/fleet_limits.h"
#include "coordinator/core/fleet_state.h"

namespace fleetune {
namespace {

RoundView ViewOf(const RoundRecord& record) {
  RoundView view;
  view.id = record.id;
  view.task = record.task;
  view.number = record.number;
  view.state = record.state;
  view.reason = record.reason;
  view.from_version = record.from_version;
  view.made_version = record.made_version;
  view.needed = record.needed;
  view.invited = record.invited;
  view.counted = record.counted;
  view.declined = record.declined;
  view.total_weight = record.total_weight;
  view.mean_delta_norm = record.mean_delta_norm;
  view.bytes_up = record.bytes_up;
  view.bytes_down = record.bytes_down;
  view.started = record.started;
  view.ended = record.ended;
  view.deadline = record.deadline;
  return view;
}

std::string NoiseInWords(const PrivacyPlan& privacy) {
  if (!privacy.on()) return "no differential privacy: a sum may still tell of single devices";
  return fmt::format(
      "differential privacy: noise of {:g} times the most that one device adds, at most epsilon {:g} for a device at "
      "delta {:g}",
      privacy.noise_multiplier, privacy.device_epsilon_limit, privacy.delta);
}

std::string ProtectionInWords(const TrainingPlan& plan) {
  const std::string sums =
      "the coordinator sees sums of at least " + std::to_string(plan.secure.min_survivors) + " updates";
  switch (plan.secure.mode) {
    case SecureMode::kOff:
      return "none: the coordinator sees each device's update; no differential privacy";
    case SecureMode::kSemiHonest:
      return sums + " if it follows the protocol; " + NoiseInWords(plan.privacy);
    case SecureMode::kMalicious:
      return sums + " even if it lies; " + NoiseInWords(plan.privacy);
  }
  return "";
}

std::string AverageInWords(LoraMethod method) {
  switch (method) {
    case LoraMethod::kB:
      return "devices train B over an A that all share; averaging is exact";
    case LoraMethod::kAlternating:
      return "devices train B against even versions and A against odd ones; averaging is exact";
    case LoraMethod::kFactors:
      return "devices train A and B, which are averaged separately; INEXACT: not the average of what devices learned";
  }
  return "";
}

std::string MethodInWords(const TaskSpec& spec) {
  std::string words = AverageInWords(spec.plan.trained);
  if (spec.plan.smallest_rank > 0 && spec.plan.smallest_rank < spec.plan.rank) {
    words += "; smaller devices train the first " + std::to_string(spec.plan.smallest_rank) + " or more of " +
             std::to_string(spec.plan.rank) + " ranks, and each rank is averaged over those that trained it";
  }
  if (spec.refactor_every > 0) {
    words += "; every version that is a multiple of " + std::to_string(spec.refactor_every) + " is refactored";
  }
  return words;
}

// Each record hashes to what it says, and follows `before`.
bool ChainHolds(AuditRecord before, const std::vector<AuditRecord>& records) {
  for (const AuditRecord& record : records) {
    if (record.sequence != before.sequence + 1 || record.hash != AuditHash(before.hash, record)) return false;
    before = record;
  }
  return true;
}

}  // namespace

TaskView Fleet::State::View(const FleetTask& task) const {
  const OpenRound* open = OpenRoundOf(task.record.name);
  std::optional<PrivacyView> privacy;
  if (task.noise.has_value()) {
    const absl::StatusOr<PrivacyView> spent = PrivacyOf(task);
    privacy = spent.ok() ? *spent : PrivacyView{.no_round = "the privacy ledger: " + std::string(spent.status().message())};
  }
  return {.spec = task.spec,
          .paused = task.record.paused,
          .head_version = task.record.head_version,
          .released_version = task.released_version(),
          .trained_parameters = task.most_trained(),
          .rounds_finished = task.record.rounds_finished,
          .open_round = open == nullptr ? "" : open->record.id,
          .protection = ProtectionInWords(task.spec.plan),
          .method = MethodInWords(task.spec),
          .privacy = std::move(privacy)};
}

DeviceView Fleet::State::View(const DeviceRecord& device) const {
  const auto reason = not_invited.find(device.id);
  return {.id = device.id,
          .name = device.name,
          .tags = device.tags,
          .revoked = device.revoked,
          .enrolled = device.enrolled,
          .last_seen = device.last_seen,
          .report = device.report,
          .examples = ExamplesOf(device.report, ""),
          .rounds_counted = device.rounds_counted,
          .not_invited = reason == not_invited.end() ? "" : reason->second};
}

CellView Fleet::State::View(const CellRecord& cell) const {
  CellView view{
      .number = cell.number, .state = cell.state, .reason = cell.reason, .seats = cell.seats, .counted = cell.counted};
  if (const auto open = memory.cells.find(cell.id); open != memory.cells.end()) {
    const secagg::ServerSession& session = open->second.session;
    view.state = secagg::ServerPhaseName(session.phase());
    view.seats = session.advertised();
    view.counted = session.committed();
  }
  return view;
}

RoundView Fleet::State::View(const OpenRound& round) const {
  RoundView view = ViewOf(round.record);
  const RoundMachine& machine = round.machine;
  view.invited = machine.invited();
  view.counted = machine.counted();
  view.declined = machine.declined();
  view.deadline = machine.options().deadline;
  view.clamped_share = machine.made().clamped_share;
  view.clipped_devices_share = machine.made().clipped_devices_share;
  view.mean_peak_share = machine.made().mean_peak_share;
  for (const auto& [device, member] : machine.members()) {
    view.devices.push_back(
        {.device = device, .state = std::string(RoundSeatName(member.seat)), .reason = member.reason});
  }
  const auto bytes = round_bytes.find(view.id);
  if (bytes != round_bytes.end()) {
    view.bytes_up = bytes->second.up;
    view.bytes_down = bytes->second.down;
  }
  return view;
}

absl::StatusOr<std::vector<DeviceView>> Fleet::Devices(const std::string& id_or_name) const {
  RETURN_IF_ERROR(state_->Refresh());
  std::vector<DeviceView> views;
  for (const auto& [id, device] : state_->memory.devices) {
    if (id_or_name.empty() || id_or_name == id || id_or_name == device.name) views.push_back(state_->View(device));
  }
  if (views.empty() && !id_or_name.empty()) {
    return absl::NotFoundError("there is no device \"" + id_or_name + "\"");
  }
  return views;
}

std::vector<BaseModel> Fleet::Models() const {
  std::vector<BaseModel> models;
  for (const auto& [name, model] : state_->memory.models) models.push_back(model);
  return models;
}

absl::StatusOr<std::vector<TaskView>> Fleet::Tasks(const std::string& name) const {
  RETURN_IF_ERROR(state_->Refresh());
  std::vector<TaskView> views;
  if (!name.empty()) {
    ASSIGN_OR_RETURN(FleetTask* const task, state_->FindTask(name));
    views.push_back(state_->View(*task));
    return views;
  }
  for (const auto& [task_name, task] : state_->memory.tasks) views.push_back(state_->View(task));
  return views;
}

absl::StatusOr<RoundView> Fleet::Round(const std::string& id) const {
  RETURN_IF_ERROR(state_->Refresh());
  ASSIGN_OR_RETURN(const OpenRound round, state_->FindRound(id));
  RoundView view = state_->View(round);
  ASSIGN_OR_RETURN(const std::vector<CellRecord> cells, state_->ports.store->Cells(id));
  for (const CellRecord& cell : cells) view.cells.push_back(state_->View(cell));
  RETURN_IF_ERROR(state_->AddPrivacy(view.task, view));
  return view;
}

std::vector<RoundView> Fleet::Rounds(const std::string& task) const {
  std::vector<RoundView> views;
  if (!state_->Refresh().ok()) return views;
  const absl::StatusOr<std::vector<RoundRecord>> records = state_->ports.store->Rounds(task, kMaxListedRounds);
  if (!records.ok()) return views;
  for (const RoundRecord& record : *records) {
    const auto open = state_->memory.rounds.find(record.id);
    views.push_back(open != state_->memory.rounds.end() ? state_->View(open->second) : ViewOf(record));
    views.back().devices.clear();
    const auto bytes = state_->round_bytes.find(record.id);
    if (bytes == state_->round_bytes.end()) continue;
    views.back().bytes_up = bytes->second.up;
    views.back().bytes_down = bytes->second.down;
  }
  return views;
}

absl::StatusOr<Fleet::AuditPage> Fleet::Audit(uint64_t after_sequence, uint32_t limit) const {
  RETURN_IF_ERROR(state_->Refresh());
  FleetStore& store = *state_->ports.store;
  AuditRecord before;
  if (after_sequence > 0) {
    ASSIGN_OR_RETURN(const std::vector<AuditRecord> last, store.Audit(after_sequence - 1, 1));
    if (!last.empty()) before = last.front();
  }
  const uint32_t page_size = std::min(limit == 0 ? kDefaultAuditPage : limit, kMaxAuditPage);
  AuditPage page;
  ASSIGN_OR_RETURN(page.records, store.Audit(after_sequence, page_size));
  page.chain_intact = ChainHolds(before, page.records);
  if (page.records.size() < page_size) {  // the end of the log, which this process remembers
    const AuditRecord& end = page.records.empty() ? before : page.records.back();
    const AuditRecord& remembered = state_->memory.last_audit;
    page.chain_intact = page.chain_intact && (after_sequence > remembered.sequence || end.hash == remembered.hash);
  }
  return page;
}

FleetStatus Fleet::Status() const {
  const FleetMemory& memory = state_->memory;
  FleetStatus status{.devices = static_cast<uint32_t>(memory.devices.size()),
                     .tasks = static_cast<uint32_t>(memory.tasks.size()),
                     .open_rounds = static_cast<uint32_t>(memory.rounds.size()),
                     .database_bytes = state_->ports.store->DatabaseBytes()};
  const TimePoint hour_ago = state_->Now() - std::chrono::hours(1);
  for (const auto& [id, device] : memory.devices) {
    if (device.last_seen && *device.last_seen >= hour_ago) ++status.devices_seen_last_hour;
  }
  return status;
}

}  // namespace fleetune
