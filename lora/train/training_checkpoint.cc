#include <algorithm>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "lora/train/torch_errors.h"
#include "lora/train/training.h"

namespace fleetune {

Bytes Training::Checkpoint() const {
  return EncodeTrainingState(
      position_, {parts_.weights->Trained(), optimizer_.state(), terms_.sum(), &early_stop_.state()});
}

absl::Status Training::CheckIsOfThis(const TrainingState& state) const {
  if (state.position.training != position_.training || state.trained.size() != parts_.weights->Trained().size() ||
      state.optimizer.size() != optimizer_.state().size() || state.gradients.size() != terms_.sum().size() ||
      state.early_stop.best.size() != early_stop_.state().best.size()) {
    return absl::FailedPreconditionError(
        "the checkpoint is of a training with another model, start, option, example or type of products");
  }
  if (state.position.correction != position_.correction) {
    return absl::FailedPreconditionError("the checkpoint is of a training with another correction of the gradients");
  }
  return absl::OkStatus();
}

absl::Status Training::GoOnFrom(TrainingState state) {
  RETURN_IF_ERROR(CheckIsOfThis(state));
  const TrainingPosition& position = state.position;
  auto planner = std::make_unique<StepPlanner>(parts_.examples, parts_.options, position.rows_a_pass);
  if (position.step > planner->steps()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the checkpoint is after step ", position.step, " of ", planner->steps()));
  }
  for (uint32_t step = 0; step < position.step; ++step) planner->Next();
  planner_ = std::move(planner);
  at_hand_.clear();
  std::copy(state.trained.begin(), state.trained.end(), parts_.weights->Trained().begin());
  RETURN_IF_ERROR(WithoutExceptions([&] {
    parts_.weights->TrainedChanged();
    return absl::OkStatus();
  }));
  position_ = position;
  parts_.layout.rows = position.rows_a_pass;
  optimizer_.GoOnFrom(position.step, std::move(state.optimizer));
  terms_.GoOnFrom(position.step, std::move(state.gradients));
  early_stop_.GoOnFrom(std::move(state.early_stop));
  return absl::OkStatus();
}

}  // namespace fleetune
