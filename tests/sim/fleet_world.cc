#include "tests/sim/fleet_world.h"

#include <utility>

namespace fleetune {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kDevices = 6;

absl::Status Lost() { return absl::UnavailableError("the network lost it"); }

}  // namespace

FleetWorld::FleetWorld(uint64_t seed, WorldFaults faults) : FleetWorld(seed, faults, {}, false) {}
FleetWorld::FleetWorld(uint64_t seed, WorldFaults faults, std::function<FleetStore&()> reopen)
    : FleetWorld(seed, faults, std::move(reopen), true) {}

FleetWorld::FleetWorld(uint64_t seed, WorldFaults faults, std::function<FleetStore&()> reopen, bool other_store)
    : simulator(small.clock, seed), faults_(faults), reopen_(std::move(reopen)) {
  if (other_store) {
    small.faulty.Use(reopen_());
    small.Reopen();
  }
  small.AddTask();
  for (size_t i = 0; i < kDevices; ++i) devices_.push_back({.id = small.AddDevice(), .round = {}, .update = {}});
  small.faulty.fault = [this](uint64_t) {
    if (!simulator.Chance(faults_.write_fails)) return WriteFault::kNone;
    coordinator_dies_ = coordinator_dies_ || simulator.Chance(faults_.coordinator_dies);
    return simulator.Chance(0.5) ? WriteFault::kLost : WriteFault::kUncertain;
  };
  for (size_t i = 0; i < kDevices; ++i) simulator.Within(seconds(30), [this, i] { Step(i); });
  Tick();
}

absl::Status FleetWorld::Arrive(const std::function<absl::Status()>& call) {
  const absl::Status status = call();
  if (!coordinator_dies_) return status;
  coordinator_dies_ = false;
  if (reopen_) small.faulty.Use(reopen_());
  small.Reopen();
  return Lost();  // nobody hears from the dead
}

absl::Status FleetWorld::Call(const std::function<absl::Status()>& call) {
  if (simulator.Chance(faults_.duplicated)) {
    simulator.Within(seconds(60), [this, call] { (void)Arrive(call); });
  }
  if (simulator.Chance(faults_.request_lost)) return Lost();
  const absl::Status status = Arrive(call);
  return simulator.Chance(faults_.answer_lost) ? Lost() : status;
}

void FleetWorld::Tick() {
  (void)Arrive([this] { return small.fleet->Tick(); });
  simulator.After(seconds(1), [this] { Tick(); });
}

void FleetWorld::Step(size_t index) {
  Device& device = devices_[index];
  if (simulator.Chance(faults_.device_dies)) device = {.id = device.id, .round = {}, .update = {}};
  switch (device.next) {
    case Device::Next::kCheckIn:
      CheckIn(device);
      break;
    case Device::Next::kTrain:
      Train(device);
      break;
    case Device::Next::kOpen:
      Open(device);
      break;
    case Device::Next::kPut:
      Put(device);
      break;
    case Device::Next::kCommit:
      Commit(device);
      break;
  }
  simulator.Within(seconds(20), [this, index] { Step(index); });
}

void FleetWorld::CheckIn(Device& device) {
  // The answer is the device's only if Call says so: a late copy of the call must not change it.
  const auto invited = std::make_shared<std::string>();
  const absl::Status status = Call([this, id = device.id, invited]() -> absl::Status {
    const absl::StatusOr<CheckInAnswer> answer = small.fleet->CheckIn(id, SmallFleet::ReadyReport());
    if (!answer.ok()) return answer.status();
    *invited = answer->invitation ? answer->invitation->round : "";
    return absl::OkStatus();
  });
  if (!status.ok() || invited->empty()) return;
  device.round = *invited;
  device.next = Device::Next::kTrain;
}

void FleetWorld::Train(Device& device) {
  if (simulator.Chance(faults_.device_declines)) return Decline(device);
  // Trained again after a death it is another update.
  const auto value = static_cast<float>(simulator.random.NextUnit() - 0.5) / 16;
  device.update = SmallFleet::Update(value, simulator.random.NextUnit(), device.round);
  device.next = Device::Next::kOpen;
}

void FleetWorld::Decline(Device& device) {
  const absl::Status status =
      Call([this, id = device.id, round = device.round] { return small.fleet->DeclineRound(id, round, "on battery"); });
  if (status.ok()) device.next = Device::Next::kCheckIn;
}

void FleetWorld::Open(Device& device) {
  const auto committed = std::make_shared<bool>(false);
  const absl::Status status =
      Call([this, id = device.id, round = device.round, update = device.update, committed]() -> absl::Status {
        const absl::StatusOr<UploadState> state = small.fleet->OpenUpload(id, round, update.size(), Sha256(update));
        if (state.ok()) *committed = state->committed;
        return state.status();
      });
  if (status.ok()) device.next = *committed ? Device::Next::kCheckIn : Device::Next::kPut;
  if (status.ok() && *committed) acknowledged[device.round].insert(device.id);
  if (absl::IsFailedPrecondition(status)) device.next = Device::Next::kCheckIn;
}

void FleetWorld::Put(Device& device) {
  const absl::Status status = Call([this, id = device.id, round = device.round, update = device.update] {
    return small.fleet->PutUploadChunk(id, round, 0, update);
  });
  if (status.ok()) device.next = Device::Next::kCommit;
  if (absl::IsFailedPrecondition(status)) device.next = Device::Next::kCheckIn;
}

void FleetWorld::Commit(Device& device) {
  const absl::Status status = Call([this, id = device.id, round = device.round, update = device.update] {
    return CommitAtCoordinator(id, round, update);
  });
  if (status.ok()) acknowledged[device.round].insert(device.id);
  if (status.ok() || absl::IsFailedPrecondition(status)) device.next = Device::Next::kCheckIn;
  if (absl::IsDataLoss(status)) device.next = Device::Next::kOpen;
}

absl::Status FleetWorld::CommitAtCoordinator(const std::string& device, const std::string& round, const Bytes& update) {
  const absl::Status status = small.fleet->CommitUpload(device, round, Sha256(update));
  CountIfNew(round, device, update);
  return status;
}

// What counts is what the log says, whatever the coordinator answered.
void FleetWorld::CountIfNew(const std::string& round, const std::string& device, const Bytes& update) {
  uint32_t times = 0;
  const std::vector<Bytes> log = *small.faulty.RoundEvents(round);
  for (const Bytes& bytes : log) {
    const RoundEvent event = *DecodeRoundEvent(bytes);
    const auto* update_counted = std::get_if<UpdateCounted>(&event);
    times += update_counted != nullptr && update_counted->device == device;
  }
  CHECK(times <= 1);
  if (times == 0 || !counted_devices_.emplace(round, device).second) return;
  const RingVector ring = *UnpackLanes(update, LaneBits::k32, SmallFleet::kRingLength);
  RingVector& sum = expected_sum[round];
  sum.resize(ring.size());
  AddToSum(ring, sum);
  ++counted[round];
}

std::string FleetWorld::RunRound() {
  std::string round;
  while (round.empty()) {  // the operator tries until it works
    (void)Arrive([&]() -> absl::Status {
      const absl::StatusOr<RoundView> started = small.fleet->StartRound("ann", "home");
      if (started.ok()) round = started->id;
      return started.status();
    });
    const absl::StatusOr<std::vector<TaskView>> tasks = small.fleet->Tasks("home");
    if (tasks.ok()) round = tasks->front().open_round;
  }
  simulator.RunUntil([&] {
    const absl::StatusOr<RoundView> view = small.fleet->Round(round);
    return view.ok() && view->state != "collecting";
  });
  return round;
}

}  // namespace fleetune
