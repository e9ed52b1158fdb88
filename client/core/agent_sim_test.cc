// The agent against a coordinator and a network that lose, repeat and change their minds, on a device that is killed
// at any moment. One number replays a run.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "client/core/agent.h"
#include "client/core/agent_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

using agent_fixture::CallTo;
using agent_fixture::ControlledPlanOf;
using agent_fixture::DigestOf;
using agent_fixture::GoodConditions;
using agent_fixture::SmallModel;
using agent_fixture::TaskAt;
using agent_fixture::TaskOf;
using std::chrono::milliseconds;

constexpr uint64_t kPayloadBytes = 10;
constexpr uint32_t kChunkBytes = 4;
constexpr size_t kChunks = 3;

struct Faults {
  double lost = 0;         // a call that never arrives
  double unanswered = 0;   // one that is performed, and its answer lost
  double killed = 0;       // the device, between two of its writes
  double fails = 0;        // a training
  double moves_on = 0;     // the coordinator, to another round, at a check-in
  double held = 0;         // by battery, owner or want of memory, at a step
  double looks_back = 0;   // the coordinator, asking for a round that this device has sent something for before
};
constexpr Faults kHostile = {.lost = 0.15, .unanswered = 0.15, .killed = 0.08, .fails = 0.3, .moves_on = 0.02,
                             .held = 0.1, .looks_back = 0.1};
// Most trainings end with an update, and most answers about it are lost.
constexpr Faults kForgetful = {.lost = 0.05, .unanswered = 0.4, .killed = 0.02, .fails = 0.05, .moves_on = 0.003,
                               .held = 0.02, .looks_back = 0.02};

// What the coordinator knows of one device.
struct FakeRound {
  std::optional<Digest> announced;
  std::set<uint32_t> chunks;
  bool committed = false;
  bool over = false;
  bool declined = false;
};

class Simulation {
 public:
  // `controlled`: the task has control variates.
  explicit Simulation(uint64_t seed, bool controlled = false)
      : random_(seed), task_(controlled ? TaskOf(ControlledPlanOf("t"), 0) : TaskAt("t", 0)) {
    Restart();
  }

  // Until `rounds` rounds ended for the device, one way or the other.
  void Run(const Faults& faults, size_t rounds) {
    faults_ = faults;
    const size_t goal = Ended() + rounds;
    for (int steps = 0; Ended() < goal; ++steps) {
      ASSERT_LT(steps, 20'000) << "the agent gets nowhere";
      Step();
      if (testing::Test::HasFailure()) return;
    }
  }

  size_t Ended() const {
    size_t ended = 0;
    for (const auto& [name, round] : rounds_) ended += round.committed || round.over || round.declined;
    return ended;
  }
  size_t Counted() const {
    size_t counted = 0;
    for (const auto& [name, round] : rounds_) counted += round.committed;
    return counted;
  }

 private:
  bool Chance(double probability) { return random_.NextUnit() < probability; }

  void Restart() {
    agent_ = std::make_unique<Agent>(disk_, AgentOptions{}, &random_);
    trained_at_.reset();
    control_here_.clear();
    events_ = {AgentStarted{.served = served_, .models = {DigestOf(0xba)}, .conditions = conditions_}};
  }

  // Half of what holds a training up lasts from one step to the next.
  void ChangeConditions() {
    if (!conditions_.may_train && Chance(faults_.held > 0 ? 0.5 : 0)) return;
    DeviceConditions next = GoodConditions();
    next.may_train = !Chance(faults_.held);
    next.paused = !next.may_train && Chance(0.3);
    next.memory_is_short = !next.may_train && Chance(0.3);
    const bool changed = next.may_train != conditions_.may_train || next.paused != conditions_.paused ||
                         next.memory_is_short != conditions_.memory_is_short;
    conditions_ = next;
    if (changed) events_.push_back(ConditionsChanged{next});
  }

  void Step() {
    ChangeConditions();
    const TimePoint began = now_;
    const std::optional<PendingUpdate> before = agent_->state().pending;
    const AgentDecision decision = agent_->Apply(events_, now_);
    events_.clear();
    CheckPending(before, decision);
    CheckControl();
    if (Chance(faults_.killed)) return Restart();  // before anything is durable
    if (decision.counted.has_value()) Accept(*decision.counted);
    if (Chance(faults_.killed)) return Restart();  // before the state is durable
    disk_ = agent_->state();
    std::erase_if(proposals_, [this](const auto& proposal) {
      return !disk_.pending.has_value() || disk_.pending->order.round != proposal.first;
    });
    if (decision.stop_training) trained_at_.reset();
    if (Chance(faults_.killed)) return Restart();  // before the step
    EXPECT_FALSE(decision.hold_training && !agent_->training());
    EXPECT_FALSE(decision.hold_training && conditions_.memory_is_short);
    EXPECT_FALSE(std::holds_alternative<TrainRound>(decision.step) && !conditions_.may_train);
    Perform(decision.step);
    if (decision.hold_training && trained_at_.has_value()) *trained_at_ += now_ - began;
    if (Chance(faults_.killed)) return Restart();  // before its end is known
    if (trained_at_.has_value() && now_ >= *trained_at_) {
      trained_at_.reset();
      EndTraining();
    }
    if (events_.empty()) events_.push_back(Woke{});
  }

  // A pending update goes only with a word, or when it was counted.
  void CheckPending(const std::optional<PendingUpdate>& before, const AgentDecision& decision) {
    if (!before.has_value()) return;
    if (agent_->state().pending.has_value() && agent_->state().pending->sha256 == before->sha256) return;
    const bool counted = rounds_[before->order.round].committed;
    const std::string notes = ::testing::PrintToString(decision.notes);
    EXPECT_TRUE(counted || notes.find("dropped the update") != std::string::npos) << notes;
    if (!counted) {
      EXPECT_TRUE(rounds_[before->order.round].over) << "a live round's update was dropped";
    }
  }

  // As ControlFiles.
  void Accept(const CountedControl& counted) {
    const auto proposal = proposals_.find(counted.round);
    if (proposal == proposals_.end()) return;
    moves_.push_back(*proposal);
    proposals_.erase(proposal);
  }

  // Whatever was lost, repeated or killed: what the device keeps moved once for each update that the coordinator counted,
  // or is about to, and for no other.
  void CheckControl() {
    if (!task_.plan.train.control_variates) return;
    std::map<std::string, Digest> moved;
    for (const auto& [round, payload] : moves_) {
      EXPECT_TRUE(rounds_[round].committed && rounds_[round].announced == payload) << "moved without being counted";
      EXPECT_TRUE(moved.emplace(round, payload).second) << "moved twice by round " << round;
    }
    for (const auto& [name, round] : rounds_) {
      if (!round.committed || moved.contains(name)) continue;
      const bool waits = disk_.pending.has_value() && disk_.pending->order.round == name &&
                         proposals_.contains(name) && proposals_.at(name) == round.announced;
      EXPECT_TRUE(waits) << "round " << name << " was counted, and the device forgot";
    }
  }

  void EndTraining() {
    if (Chance(faults_.fails)) {
      events_.push_back(AttemptFailed{absl::UnavailableError("killed")});
      return;
    }
    // No two trainings have the same result.
    proposals_[disk_.work->order.round] = DigestOf(static_cast<uint8_t>(payloads_ + 1));
    events_.push_back(UpdateEncoded{.sha256 = DigestOf(++payloads_), .size = kPayloadBytes, .parameters = 2,
                                    .examples = 7});
  }

  // Whether a call arrives; its answer may get lost all the same.
  template <typename Answer>
  void Call(Answer answer) {
    if (Chance(faults_.lost)) {
      events_.push_back(StepFailed{absl::UnavailableError("lost")});
      return;
    }
    AgentEvent event = answer();
    if (Chance(0.1)) event = answer();  // the network delivered it twice
    if (Chance(faults_.unanswered)) event = StepFailed{absl::DeadlineExceededError("no answer")};
    events_.push_back(std::move(event));
  }

  void Perform(const AgentStep& step) {
    now_ += milliseconds(10);
    if (const auto* wait = std::get_if<WaitUntil>(&step)) {
      TimePoint until = std::min(wait->time, now_ + std::chrono::seconds(20));
      if (trained_at_.has_value()) until = std::min(until, *trained_at_);
      now_ = std::max(now_, until);
    } else if (std::holds_alternative<CheckInNow>(step)) {
      Call([this] { return CheckIn(); });
    } else if (const auto* bring = std::get_if<BringAdapter>(&step)) {
      Call([&]() -> AgentEvent {
        if (bring->serve) served_ = {bring->version};
        return AdapterReady{bring->version};
      });
    } else if (std::holds_alternative<ExamineTask>(step)) {
      events_.push_back(TaskExamined{.task = "t", .model = SmallModel(), .examples = 7});
    } else if (const auto* control = std::get_if<BringControl>(&step)) {
      Call([&]() -> AgentEvent {
        if (rounds_[control->order.round].over) return StepFailed{absl::FailedPreconditionError("over")};
        control_here_ = control->order.round;
        return ControlReady{control->order.round};
      });
    } else if (const auto* train = std::get_if<TrainRound>(&step)) {
      if (task_.plan.train.control_variates) {
        EXPECT_EQ(control_here_, train->order.round);
      }
      trained_at_ = now_ + std::chrono::seconds(30);
    } else if (const auto* open = std::get_if<OpenRoundUpload>(&step)) {
      Sent(open->round, open->sha256);
      Call([&] { return Open(*open); });
    } else if (const auto* send = std::get_if<SendChunk>(&step)) {
      Sent(send->round, send->sha256);
      Call([&]() -> AgentEvent {
        FakeRound& round = rounds_[send->round];
        if (round.over) return StepFailed{absl::FailedPreconditionError("over")};
        round.chunks.insert(send->index);
        return ChunkStored{send->index};
      });
    } else if (const auto* commit = std::get_if<CommitRoundUpload>(&step)) {
      Call([&] { return Commit(*commit); });
    } else if (const auto* decline = std::get_if<TellDecline>(&step)) {
      Call([&]() -> AgentEvent {
        rounds_[decline->notice.round].declined = true;
        return DeclineHeard{};
      });
    }
  }

  AgentEvent CheckIn() {
    FakeRound& open = rounds_[Current()];
    if (Chance(faults_.moves_on)) open.over = !open.committed;
    if (open.committed || open.over || open.declined) {
      version_ += open.committed ? 1 : 0;
      ++round_;
    }
    return CheckInAnswered{.next_check_in = std::chrono::seconds(5),
                           .tasks = {Offered()},
                           .invitation = CallTo(AskedFor(), version_)};
  }

  KnownTask Offered() const { return TaskOf(task_.plan, version_); }

  std::string AskedFor() {
    if (!Chance(faults_.looks_back) || sent_.empty()) return Current();
    return std::next(sent_.begin(), static_cast<ptrdiff_t>(random_.Below(sent_.size())))->first;
  }

  AgentEvent Open(const OpenRoundUpload& open) {
    FakeRound& round = rounds_[open.round];
    if (round.over) return StepFailed{absl::FailedPreconditionError("the round is over")};
    EXPECT_EQ(open.size, kPayloadBytes);
    round.announced = open.sha256;
    UploadOpened opened{.chunk_bytes = kChunkBytes, .missing_chunks = {}, .committed = round.committed};
    for (uint32_t chunk = 0; chunk < kChunks; ++chunk) {
      if (!round.chunks.contains(chunk)) opened.missing_chunks.push_back(chunk);
    }
    return opened;
  }

  AgentEvent Commit(const CommitRoundUpload& commit) {
    FakeRound& round = rounds_[commit.round];
    if (round.over) return StepFailed{absl::FailedPreconditionError("the round is over")};
    if (round.chunks.size() < kChunks) return StepFailed{absl::FailedPreconditionError("chunks are missing")};
    round.committed = true;
    return UpdateCounted{};
  }

  // A byte of `payload` may have left for `round`.
  void Sent(const std::string& round, const Digest& payload) {
    ASSERT_TRUE(disk_.pending.has_value()) << "sent before it was durable";
    EXPECT_EQ(disk_.pending->sha256, payload);
    sent_[round].insert(payload);
    EXPECT_EQ(sent_[round].size(), 1u) << "two payloads for round " << round;
  }

  std::string Current() const { return "r" + std::to_string(round_); }

  SplitMix64 random_;
  const KnownTask task_;
  Faults faults_;
  TimePoint now_ = FromMillis(1'000'000);

  DeviceConditions conditions_ = GoodConditions();
  DeviceState disk_;
  std::vector<ServedVersion> served_;
  std::unique_ptr<Agent> agent_;
  std::vector<AgentEvent> events_;
  std::optional<TimePoint> trained_at_;
  uint8_t payloads_ = 0;
  std::string control_here_;  // the round whose control variates of the server are in the agent's process
  std::map<std::string, Digest> proposals_;            // by round: durable
  std::vector<std::pair<std::string, Digest>> moves_;  // what became of them

  uint32_t round_ = 1;
  uint32_t version_ = 0;
  std::map<std::string, FakeRound> rounds_;
  std::map<std::string, std::set<Digest>> sent_;
};

class AgentSimTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(AgentSimTest, SendsOnePayloadARoundAndLosesNoneBeforeItIsAcknowledged) {
  Simulation simulation(GetParam());
  simulation.Run(kHostile, 4);
}

TEST_P(AgentSimTest, IsCountedInEachRoundOnceTheNetworkIsGood) {
  Simulation simulation(GetParam());
  simulation.Run(kHostile, 1);
  const size_t ended = simulation.Ended();
  const size_t counted = simulation.Counted();
  simulation.Run({}, 3);
  EXPECT_GE(simulation.Counted() - counted, simulation.Ended() - ended - 1);
}

TEST_P(AgentSimTest, ControlVariatesMoveOnceForEachUpdateThatIsCounted) {
  Simulation simulation(GetParam(), /*controlled=*/true);
  simulation.Run(kForgetful, 8);
  const size_t ended = simulation.Ended();
  const size_t counted = simulation.Counted();
  simulation.Run({}, 3);
  EXPECT_GE(simulation.Counted() - counted, simulation.Ended() - ended - 1);
}

INSTANTIATE_TEST_SUITE_P(Seeds, AgentSimTest, ::testing::Range<uint64_t>(0, 300));

}  // namespace
}  // namespace fleetune
