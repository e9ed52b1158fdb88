#include "tools/sim/fleet_run.h"

#include <cmath>
#include <functional>
#include <memory>
#include <queue>
#include <utility>

#include "base/random.h"
#include "base/status_macros.h"
#include "tools/sim/sim_coordinator.h"
#include "tools/sim/sim_device.h"

namespace fleetune {
namespace {

// Devices train this many tokens a second of simulated time, log-uniformly: they are not alike, and some are late.
constexpr double kSlowestDevice = 200;
constexpr double kFastestDevice = 2000;

// The devices and what they do when.
class SimFleet {
 public:
  SimFleet(const SimTask& task, LocalTrainer& trainer, uint64_t seed) : task_(task), trainer_(trainer), random_(seed) {}

  absl::Status Open(const SimData& data, const std::string& store) {
    ASSIGN_OR_RETURN(coordinator_, SimCoordinator::Open(store, random_.Next()));
    RETURN_IF_ERROR(fleet().AddModel(kSimAdmin, task_.model).status());
    RETURN_IF_ERROR(fleet().CreateTask(kSimAdmin, task_.toml).status());
    for (const DeviceExamples& examples : data.devices) {
      const double speed = kSlowestDevice * std::pow(kFastestDevice / kSlowestDevice, random_.NextUnit());
      ASSIGN_OR_RETURN(std::unique_ptr<SimDevice> device, SimDevice::Enroll({.coordinator = coordinator_.get(),
                                                                            .trainer = &trainer_,
                                                                            .task = &task_,
                                                                            .examples = &examples,
                                                                            .tokens_per_second = speed,
                                                                            .seed = random_.Next()}));
      const auto poll = std::chrono::duration_cast<std::chrono::milliseconds>(task_.spec.poll_interval);
      const std::chrono::milliseconds first(static_cast<int64_t>(random_.Below(static_cast<uint64_t>(poll.count()))));
      events_.push({Now() + first, devices_.size()});
      devices_.push_back(std::move(device));
    }
    return absl::OkStatus();
  }

  // Whatever happens next.
  absl::Status Step() {
    const auto [time, index] = events_.top();
    events_.pop();
    coordinator_->clock().AdvanceTo(time);
    ASSIGN_OR_RETURN(const std::chrono::milliseconds wait, devices_[index]->Act());
    events_.push({Now() + std::max(wait, std::chrono::milliseconds(1)), index});
    return fleet().Tick();
  }

  Fleet& fleet() { return coordinator_->fleet(); }
  TimePoint Now() { return coordinator_->clock().Now(); }
  SimDevice::Totals Totals() const {
    SimDevice::Totals sum;
    for (const auto& device : devices_) {
      sum.tokens += device->totals().tokens;
      sum.bytes_down += device->totals().bytes_down;
    }
    return sum;
  }

 private:
  using Event = std::pair<TimePoint, size_t>;  // when, and which device: the first of those at one time
  const SimTask& task_;
  LocalTrainer& trainer_;
  SplitMix64 random_;
  std::unique_ptr<SimCoordinator> coordinator_;
  std::vector<std::unique_ptr<SimDevice>> devices_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
};

}  // namespace

absl::StatusOr<Losses> LossesOf(LocalTrainer& trainer, const SimData& data, const Adapter* adapter) {
  Losses losses;
  ASSIGN_OR_RETURN(losses.held_out, trainer.MeanLoss(data.held_out, adapter));
  if (!data.tuning.empty()) {
    ASSIGN_OR_RETURN(losses.tuning, trainer.MeanLoss(data.tuning, adapter));
  }
  return losses;
}

uint64_t FleetResult::tokens() const {
  uint64_t sum = 0;
  for (const RoundResult& round : rounds) sum += round.tokens;
  return sum;
}

absl::StatusOr<FleetResult> RunFleet(const SimTask& task, const SimData& data, LocalTrainer& trainer,
                                     const FleetRunOptions& options,
                                     absl::FunctionRef<void(const RoundResult&)> on_round) {
  const std::string& name = task.spec.plan.task;
  SimFleet sim(task, trainer, options.seed);
  RETURN_IF_ERROR(sim.Open(data, options.store));
  FleetResult result{.rounds = {}, .adapter = Adapter::Initial(task.adapter, task.spec.plan.seed)};
  for (uint32_t number = 1; number <= options.rounds; ++number) {
    const TimePoint started = sim.Now();
    const SimDevice::Totals before = sim.Totals();
    ASSIGN_OR_RETURN(RoundView round, sim.fleet().StartRound(kSimAdmin, name));
    while (round.state == "collecting") {
      RETURN_IF_ERROR(sim.Step());
      ASSIGN_OR_RETURN(round, sim.fleet().Round(round.id));
    }
    if (round.state != "done") {
      return absl::FailedPreconditionError("round " + round.id + " made no version: " + round.reason);
    }
    ASSIGN_OR_RETURN(result.adapter, sim.fleet().VersionAdapter(name, round.made_version));
    ASSIGN_OR_RETURN(const Losses losses, LossesOf(trainer, data, &result.adapter));
    const SimDevice::Totals after = sim.Totals();
    result.rounds.push_back({.number = number,
                             .losses = losses,
                             .invited = round.invited,
                             .counted = round.counted,
                             .bytes_up = round.bytes_up,
                             .bytes_down = after.bytes_down - before.bytes_down,
                             .tokens = after.tokens - before.tokens,
                             .seconds = std::chrono::duration<double>(sim.Now() - started).count(),
                             .clipped_share = round.clipped_devices_share});
    on_round(result.rounds.back());
  }
  return result;
}

}  // namespace fleetune
