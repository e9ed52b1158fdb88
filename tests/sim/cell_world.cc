#include "tests/sim/cell_world.h"

#include <utility>

#include "base/check.h"
#include "base/hex.h"
#include "coordinator/core/task_spec.h"
#include "fmt/format.h"
#include "lora/plan/update_options.h"

namespace fleetune {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A round ends so long after its deadline at most: the coordinator may be down, and its disk fail, several times.
constexpr seconds kLongestEnd{120};
// Calls of a round's end still come in.
constexpr seconds kAfterwards{90};

Secret32 SomeSecret(SplitMix64& random) {
  Secret32 secret;
  random.Fill(secret.mutable_bytes());
  return secret;
}

}  // namespace

CellWorld::CellWorld(const CellShape& shape, Planted planted)
    : shape_(shape),
      planted_(planted),
      simulator_(clock_, shape.seed),
      random_(~shape.seed),
      release_key_(SigningKey::FromSeed(SomeSecret(random_))),
      books_(memory_.tables(), static_cast<LaneBits>(shape.lane_bits)),
      around_{.shape = shape_,
              .simulator = simulator_,
              .books = books_,
              .network = *this,
              .encoding = [this](const std::string& round) { return UpdateOptions(plan_, 16, round).value(); },
              .planted = planted} {
  if (planted_ == Planted::kOlderSave) {
    shape_.faults.lied_to = 1;
    shape_.faults.device_dies = std::max(shape_.faults.device_dies, 0.05);
  }
  if (planted_ == Planted::kSmallerView) {
    shape_.faults.coordinator_killed = std::max(shape_.faults.coordinator_killed, 0.1);
  }
  AddDevices();
  Open();
  CHECK(fleet_->AddModel("ann", SmallModel()).ok());
  const absl::StatusOr<Fleet::CreatedTask> created = fleet_->CreateTask("ann", TaskOf(shape_));
  CHECK(created.ok());
  plan_ = created->task.spec.plan;
  store_.fault = [this](uint64_t) { return FaultOfWrite(); };
  store_.written = [this](const absl::Status& answer) { return AfterWrite(answer); };
  for (const auto& device : devices_) device->Begin();
  Tick();
}

CellWorld::~CellWorld() = default;

// Straight into the store: enrolment has its own tests, and makes certificates, which are random.
void CellWorld::AddDevices() {
  cut_off_until_.resize(shape_.devices);
  for (size_t i = 0; i < shape_.devices; ++i) {
    Bytes raw(8);
    random_.Fill(raw);
    const std::string id = "device-" + ToHex(raw);
    DeviceRecord& record = memory_.tables().devices[id];
    record.id = id;
    record.enrolled = clock_.now;
    devices_.push_back(std::make_unique<SimDevice>(around_, i, id, SigningKey::FromSeed(SomeSecret(random_))));
  }
}

void CellWorld::Open() {
  absl::StatusOr<std::unique_ptr<Fleet>> opened = Fleet::Open({.store = &store_,
                                                               .clock = &clock_,
                                                               .random = &random_,
                                                               .authority = &SmallFleet::Authority(),
                                                               .release_key = &release_key_,
                                                               .parallel = nullptr,
                                                               .verify_peer = VerifySimCertificate});
  CHECK(opened.ok());
  fleet_ = *std::move(opened);
}

void CellWorld::Die() {
  dies_ = false;
  fleet_.reset();
  ++counts_.coordinator_deaths;
  simulator_.Within(seconds(15), [this] {
    if (planted_ == Planted::kSmallerView) ShrinkView(memory_.tables());
    Open();
  });
}

void CellWorld::Tick() {
  if (fleet_ != nullptr) {
    (void)fleet_->Tick();
    if (dies_ || simulator_.Chance(shape_.faults.coordinator_killed)) Die();
  }
  simulator_.After(seconds(1), [this] { Tick(); });
}

WriteFault CellWorld::FaultOfWrite() {
  if (planted_ == Planted::kAddedTwice) {
    sums_before_ = memory_.tables().sums;
  }
  if (!simulator_.Chance(shape_.faults.write_fails)) return WriteFault::kNone;
  ++counts_.failed_writes;
  dies_ = dies_ || simulator_.Chance(shape_.faults.coordinator_dies);
  return simulator_.Chance(0.5) ? WriteFault::kLost : WriteFault::kUncertain;
}

absl::Status CellWorld::AfterWrite(const absl::Status& answer) {
  absl::Status heard = answer;
  for (auto& [key, event] : memory_.tables().cell_events) {
    if (planted_ != Planted::kForgottenInput && planted_ != Planted::kAddedTwice) break;
    const bool is_last = !memory_.tables().cell_events.contains({key.first, key.second + 1});
    if (!is_last || !IsCommitted(event)) continue;
    if (planted_ == Planted::kForgottenInput && simulator_.Chance(0.5)) {
      Forget(event);
      heard = absl::UnavailableError("the disk said nothing");
    } else if (planted_ == Planted::kAddedTwice && memory_.tables().sums[key.first] != sums_before_[key.first]) {
      RingVector& sum = memory_.tables().sums[key.first];
      RingVector& before = sums_before_[key.first];
      before.resize(sum.size());
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += sum[i] - before[i];
    }
  }
  books_.Wrote();
  return heard;
}

bool CellWorld::Through(size_t device) const { return fleet_ != nullptr && clock_.now >= cut_off_until_[device]; }

void CellWorld::CutOff(size_t device, milliseconds time) { cut_off_until_[device] = clock_.now + time; }

milliseconds CellWorld::Delay() {
  const milliseconds longest = simulator_.Chance(shape_.faults.slow) ? seconds(20) : milliseconds(200);
  return milliseconds(simulator_.random.Below(static_cast<uint64_t>(longest.count()) + 1));
}

void CellWorld::Send(size_t device, Request request) {
  const auto arrive = [this, device, request] { Arrive(device, request); };
  if (simulator_.Chance(shape_.faults.duplicated)) simulator_.Within(seconds(60), arrive);
  if (clock_.now < cut_off_until_[device] || simulator_.Chance(shape_.faults.request_lost)) return;
  simulator_.After(Delay(), arrive);
}

void CellWorld::Arrive(size_t device, const Request& request) {
  if (!Through(device)) return;
  ++counts_.messages;
  const Heard heard = request(*fleet_);
  if (dies_) return Die();  // nobody hears from the dead
  if (simulator_.Chance(shape_.faults.answer_lost)) return;
  simulator_.After(Delay(), [this, device, heard] {
    if (clock_.now >= cut_off_until_[device]) heard(false);
  });
}

// The operator tries until it works.
std::string CellWorld::StartRound() {
  std::string round;
  simulator_.RunUntil([&] {
    const std::vector<RoundRecord> open = memory_.OpenRounds().value();
    if (!open.empty()) {
      round = open.front().id;
    } else if (fleet_ != nullptr) {
      (void)fleet_->StartRound("ann", "home");
      if (dies_) Die();
    }
    return !round.empty();
  });
  return round;
}

void CellWorld::RunRound() {
  const std::string round = StartRound();
  const auto record = [&]() -> const RoundRecord& { return memory_.tables().rounds.at(round); };
  const TimePoint latest = record().deadline + kLongestEnd;
  if (shape_.operator_aborts) {
    simulator_.Within(seconds(shape_.deadline_seconds), [this, round] {
      if (fleet_ == nullptr) return;
      (void)fleet_->AbortRound("ann", round, "wrong data");
      if (dies_) Die();
    });
  }
  simulator_.RunUntil([&] { return record().ended.has_value() || clock_.now > latest; });
  if (!record().ended.has_value()) return books_.Complain(round + ": does not end");
  (record().state == "done" ? counts_.done : counts_.aborted) += 1;
  books_.CloseRound(round);
}

void CellWorld::Run() {
  for (uint32_t i = 0; i < shape_.rounds && violations().empty(); ++i) RunRound();
  const TimePoint end = clock_.now + kAfterwards;
  simulator_.RunUntil([&] { return clock_.now > end; });
  books_.Close();
}

CellWorld::Counts CellWorld::counts() const {
  Counts counts = counts_;
  for (const auto& device : devices_) counts.device_deaths += device->deaths();
  return counts;
}

}  // namespace fleetune
