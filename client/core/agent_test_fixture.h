#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/core/agent.h"
#include "client/core/agent_fixture.h"
#include "gtest/gtest.h"

namespace fleetune {

inline constexpr uint64_t kExamples = 180;

// A device at a fixed time, whose steps the test answers.
class AgentTest : public ::testing::Test {
 protected:
  AgentTest() { Restart({}); }

  void Restart(DeviceState state, std::vector<ServedVersion> served = {}, const AgentOptions& options = {}) {
    agent_.emplace(std::move(state), options, &random_);
    Apply(AgentStarted{.served = std::move(served),
                       .models = {agent_fixture::DigestOf(0xba)},
                       .conditions = agent_fixture::GoodConditions()});
  }

  void Apply(const AgentEvent& event) { decision_ = agent_->Apply(event, now_); }

  template <typename Step>
  const Step& Expect() {
    EXPECT_TRUE(std::holds_alternative<Step>(decision_.step)) << "another step: number " << decision_.step.index();
    return std::get<Step>(decision_.step);
  }

  void CheckIn(std::optional<RoundCall> invitation, uint32_t released = 0) {
    Expect<CheckInNow>();
    Apply(CheckInAnswered{.next_check_in = std::chrono::seconds(30),
                          .tasks = {agent_fixture::TaskAt("t", released)},
                          .invitation = invitation});
  }

  void Examine(uint64_t examples = kExamples) {
    Expect<ExamineTask>();
    Apply(TaskExamined{.task = "t", .model = agent_fixture::SmallModel(), .examples = examples});
  }

  void BringAndExamine() {
    Examine();
    const ServedVersion version = Expect<BringAdapter>().version;
    Apply(AdapterReady{version});
  }

  void TrainUpTo(const std::string& round) {
    CheckIn(agent_fixture::CallTo(round, 0));
    BringAndExamine();
    Expect<TrainRound>();
  }

  void Encode() {
    Apply(UpdateEncoded{
        .sha256 = agent_fixture::DigestOf(7), .size = 96'004, .parameters = 24'000, .examples = kExamples});
  }

  std::string Notes() const { return ::testing::PrintToString(decision_.notes); }

  SplitMix64 random_{1};
  TimePoint now_ = FromMillis(1'000'000);
  std::optional<Agent> agent_;
  AgentDecision decision_;
};

}  // namespace fleetune
