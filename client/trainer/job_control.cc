#include "client/trainer/job_control.h"

#include <chrono>
#include <optional>
#include <utility>
#include <variant>

namespace fleetune {
namespace {

using std::chrono::milliseconds;

// A daemon that is alive reads within a few seconds; one that is dead has closed its end.
constexpr milliseconds kSendTimeout{600'000};
constexpr milliseconds kPauseLook{3'600'000};

}  // namespace

bool JobControl::GoOn() {
  for (;;) {
    const auto message = daemon_->Receive(milliseconds(0));
    if (!message.ok()) return false;
    if (!message->has_value()) return true;
    if (std::holds_alternative<ResumeTraining>(**message)) continue;
    if (!std::holds_alternative<PauseTraining>(**message) || !Pause()) return false;
  }
}

bool JobControl::Tell(const TrainStep& step) {
  const TrainingProgress progress{.step = step.step, .steps = step.steps, .loss = step.loss, .tokens = step.tokens};
  if (!daemon_->Send(progress, kSendTimeout).ok()) return false;
  const bool due = checkpoint_steps_ > 0 && step.step - kept_step_ >= checkpoint_steps_ && !trainer_->done();
  return !due || SendCheckpoint();
}

// What is learned is made safe first: a pause may end with the process.
bool JobControl::Pause() {
  if (checkpoint_steps_ > 0 && trainer_->steps_done() > kept_step_ && !SendCheckpoint()) return false;
  if (!daemon_->Send(TrainingPaused{.step = trainer_->steps_done()}, kSendTimeout).ok()) return false;
  for (;;) {
    const auto message = daemon_->Receive(kPauseLook);
    if (!message.ok()) return false;
    if (!message->has_value() || std::holds_alternative<PauseTraining>(**message)) continue;
    return std::holds_alternative<ResumeTraining>(**message);
  }
}

bool JobControl::SendCheckpoint() {
  TrainingCheckpoint checkpoint{.step = trainer_->steps_done(), .state = trainer_->Checkpoint()};
  kept_step_ = checkpoint.step;
  if (checkpoint.state.size() > kMaxJobCheckpointBytes) return true;
  return daemon_->Send(std::move(checkpoint), kSendTimeout).ok();
}

}  // namespace fleetune
