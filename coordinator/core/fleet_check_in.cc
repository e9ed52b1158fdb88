#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "coordinator/core/device_report.h"
#include "coordinator/core/fleet_state.h"
#include "lora/plan/training_memory.h"

namespace fleetune {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kIdlePoll = std::chrono::seconds(30);  // of a device without any task
constexpr milliseconds kBusyPoll = std::chrono::seconds(2);   // at least, while a round is open
// Being seen is written this often; what a device reports, at once.
constexpr milliseconds kSeenPrecision = std::chrono::minutes(1);

bool Concerns(const FleetTask& task, const DeviceRecord& device) {
  if (task.record.paused) return false;
  const std::string& tag = task.spec.device_tag;
  return tag.empty() || std::ranges::find(device.tags, tag) != device.tags.end();
}

// Of a device that works in f32 and computes each layer again; the device itself looks closer, and declines if it must.
uint64_t LeastTrainingMemory(const FleetTask& task, const TrainingPlan& plan) {
  const ModelFootprint model = {.file_bytes = task.model.size_bytes,
                                .sizes = task.model.sizes,
                                .vocabulary = 0,
                                .heads = task.model.heads,
                                .context = 0};
  return EstimateTrainingMemory(model, AdapterOf(plan, model), plan.train, {}).total();
}

// Why the device cannot train the task now; empty if it can.
std::string Obstacle(const FleetTask& task, const DeviceReport& report) {
  const TrainingPlan& plan = task.spec.plan;
  if (!report.ready_to_train) return "not ready: " + report.not_ready_reason;
  if (std::ranges::find(report.models, plan.base) == report.models.end()) {
    return "does not hold the base model " + task.spec.model_name;
  }
  const uint64_t examples = ExamplesOf(report, plan.data_tag);
  if (examples < plan.min_examples) {
    return "has " + std::to_string(examples) + " examples of " + std::to_string(plan.min_examples) + " needed";
  }
  const uint64_t needed = LeastTrainingMemory(task, plan);
  if (report.memory_budget_bytes != 0 && report.memory_budget_bytes < needed) {
    constexpr uint64_t kMegabyte = 1'000'000;
    return "task needs about " + std::to_string((needed + kMegabyte - 1) / kMegabyte) + " MB, " +
           std::to_string(report.memory_budget_bytes / kMegabyte) + " MB allowed";
  }
  return "";
}

bool HoldsPlace(const RoundMachine& machine, const std::string& device) {
  const auto seat = machine.SeatOf(device);
  return machine.phase() == RoundPhase::kCollecting && (seat == RoundSeat::kInvited || seat == RoundSeat::kUploading);
}

RoundInvitation InvitationTo(const OpenRound& round, const FleetTask& task, TimePoint now) {
  const uint32_t version = round.machine.from_version();
  return {.round = round.record.id,
          .task = task.record.name,
          .version = version,
          .version_hash = task.versions.at(version).hash,
          .time_left = round.machine.options().deadline - now};
}

OfferedTask OfferOf(const FleetTask& task) {
  return {.plan = task.plan,
          .plan_signature = task.plan_signature,
          .released_version = task.released_version(),
          .released_hash = task.versions.at(task.released_version()).hash,
          .model_bytes = task.model.size_bytes};
}

// The device asks again in about `interval`: up to a fifth sooner or later, so that a fleet spreads out.
milliseconds Jittered(milliseconds interval, RandomSource& random) {
  const auto fifth = static_cast<uint64_t>(interval.count()) / 5;
  return interval - milliseconds(fifth) + milliseconds(random.Below(2 * fifth + 1));
}

// A tenth of the usual interval while a round of the task is open, but not under kBusyPoll.
milliseconds PollInterval(const FleetTask& task, bool round_open) {
  const milliseconds usual = task.spec.poll_interval;
  return round_open ? std::min(usual, std::max(kBusyPoll, usual / 10)) : usual;
}

struct Place {
  const OpenRound* round = nullptr;  // null: none
  bool is_new = false;
  std::string obstacle;  // why a free place was not for this device
};

// The place that the device holds already, or else the first free one.
Place PlaceFor(const std::vector<std::pair<const FleetTask*, const OpenRound*>>& rounds, const DeviceRecord& device,
               TimePoint now) {
  for (const auto& [task, round] : rounds) {
    if (now < round->machine.options().deadline && HoldsPlace(round->machine, device.id))
      return {.round = round, .is_new = false, .obstacle = {}};
  }
  Place place;
  for (const auto& [task, round] : rounds) {
    if (now >= round->machine.options().deadline || !round->machine.CanInvite(device.id)) continue;
    place.obstacle = Obstacle(*task, device.report);
    if (place.obstacle.empty()) return {.round = round, .is_new = true, .obstacle = {}};
  }
  return place;
}

}  // namespace

absl::StatusOr<CheckInAnswer> Fleet::CheckIn(const std::string& device_id, const DeviceReport& report) {
  RETURN_IF_ERROR(state_->Refresh());
  ASSIGN_OR_RETURN(DeviceRecord* const known, state_->FindDevice(device_id));
  RETURN_IF_ERROR(Validate(report));
  const TimePoint now = state_->Now();
  DeviceRecord device = *known;
  device.report = report;
  device.last_seen = now;

  CheckInAnswer answer;
  milliseconds interval = milliseconds::max();
  std::vector<std::pair<const FleetTask*, const OpenRound*>> rounds;
  for (const auto& [name, task] : state_->memory.tasks) {
    if (!Concerns(task, device)) continue;
    const OpenRound* round = state_->OpenRoundOf(name);
    if (round != nullptr) rounds.emplace_back(&task, round);
    interval = std::min(interval, PollInterval(task, round != nullptr));
    answer.tasks.push_back(OfferOf(task));
  }
  answer.next_check_in = Jittered(answer.tasks.empty() ? kIdlePoll : interval, *state_->ports.random);

  const Place place = PlaceFor(rounds, device, now);
  if (place.round != nullptr) {
    answer.invitation = InvitationTo(*place.round, state_->memory.tasks.at(place.round->record.task), now);
  }
  const auto write_device = [&](FleetTransaction& transaction) { return transaction.PutDevice(device); };
  const bool seen_long_ago =
      !state_->written_seen.contains(device_id) || now - state_->written_seen[device_id] >= kSeenPrecision;
  const bool news = !(report == known->report) || seen_long_ago;
  if (place.is_new) {
    RETURN_IF_ERROR(state_->Advance(
        {{.round = place.round->record.id, .events = {DeviceInvited{.device = device_id, .time = now}}}}, {},
        write_device));
  } else if (news) {
    RETURN_IF_ERROR(state_->Write({}, write_device));
  }
  if (place.is_new || news) state_->written_seen[device_id] = now;
  *known = device;
  state_->not_invited[device_id] = place.obstacle;
  return answer;
}

}  // namespace fleetune
