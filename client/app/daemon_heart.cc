#include "client/app/daemon_heart.h"

#include <variant>

#include <fmt/format.h>

#include "base/status_macros.h"

namespace fleetune {
namespace {

std::string DetailOf(const std::string& phase, const DaemonActivity& activity) {
  const DeviceState& state = activity.agent.state();
  if ((phase == "training" || phase == "paused") && activity.run != nullptr) {
    const TrainingProgress& progress = activity.run->progress();
    const std::string steps = progress.steps > 0 ? fmt::format(" of {}", progress.steps) : "";
    return fmt::format("round {}, step {}{}{}", activity.run->order().order.round, progress.step, steps,
                       phase == "paused" ? ": " + activity.reason : "");
  }
  if (phase == "averaging" && state.pending.has_value() && state.pending->seat.has_value()) {
    return fmt::format("cell {}", state.pending->seat->cell);
  }
  if (phase == "uploading" && state.pending.has_value()) return fmt::format("round {}", state.pending->order.round);
  return activity.reason;
}

}  // namespace

const char* PhaseOf(const AgentStep& step) {
  if (std::holds_alternative<CheckInNow>(step)) return "checking in";
  if (std::holds_alternative<FetchBaseModel>(step) || std::holds_alternative<BringAdapter>(step) ||
      std::holds_alternative<BringControl>(step)) {
    return "downloading";
  }
  if (std::holds_alternative<ExamineTask>(step)) return "idle";
  if (std::holds_alternative<TakeCellSeat>(step) || std::holds_alternative<ExchangeInCell>(step)) return "averaging";
  if (std::holds_alternative<TrainRound>(step)) return "training";
  return "uploading";
}

absl::Status DaemonHeart::Start() {
  ASSIGN_OR_RETURN(beat_, state_.ReadHeartbeat());
  return absl::OkStatus();
}

absl::Status DaemonHeart::Beat(const std::string& phase, const DaemonActivity& activity) {
  const bool waits = activity.run != nullptr && activity.run->paused();
  beat_.phase = !activity.agent.training() ? phase : waits ? "paused" : "training";
  beat_.detail = DetailOf(beat_.phase, activity);
  if (beat_ == told_) return absl::OkStatus();
  told_ = beat_;
  Heartbeat heartbeat = beat_;
  heartbeat.time = clock_.Now();
  return state_.WriteHeartbeat(heartbeat);
}

void DaemonHeart::CheckedIn(std::chrono::milliseconds next_in) {
  beat_.last_check_in = clock_.Now();
  beat_.next_check_in = clock_.Now() + next_in;
}

}  // namespace fleetune
