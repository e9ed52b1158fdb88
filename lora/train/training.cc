#include "lora/train/training.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "lora/train/example_check.h"
#include "lora/train/joined_examples.h"
#include "lora/train/llama_graph.h"
#include "lora/train/step_size.h"
#include "lora/train/token_loss.h"
#include "lora/train/torch_errors.h"

namespace fleetune {

Training::Training(Parts parts)
    : parts_(std::move(parts)),
      frequencies_(RotaryFrequencies(parts_.shape)),
      planner_(std::make_unique<StepPlanner>(parts_.examples, parts_.options, parts_.layout.rows)),
      terms_(parts_.options, parts_.weights->Trained()),
      optimizer_(parts_.options, std::move(parts_.matrices)),
      early_stop_(parts_.options.patience),
      position_{.training = parts_.name, .correction = terms_.correction(), .rows_a_pass = parts_.layout.rows} {
  if (parts_.held_out.examples.empty()) return;
  held_out_before_ = MeasureHeldOut();
  position_.held_out_loss = held_out_before_;
}

absl::StatusOr<TrainStep> Training::Step() {
  CHECK(!done());
  return WithoutExceptions([&] { return NextStep(); });
}

absl::StatusOr<TrainResult> Training::Result() const {
  ASSIGN_OR_RETURN(Adapter adapter, parts_.weights->ToAdapter());
  return TrainResult{.adapter = std::move(adapter),
                     .first_loss = position_.first_loss,
                     .last_loss = position_.last_loss,
                     .tokens = position_.tokens,
                     .steps = position_.step,
                     .mean_gradient = terms_.MeanGradient(),
                     .preferences = position_.last_preferences,
                     .held_out_before = IfMeasured(held_out_before_),
                     .held_out_after = done() ? IfMeasured(position_.held_out_loss) : std::nullopt,
                     .best_step = done() && EndsWithBest() ? early_stop_.state().best_step : position_.step};
}

absl::Status Training::CorrectGradient(std::vector<float> correction) {
  if (position_.step > 0) return absl::FailedPreconditionError("a gradient is corrected from the first step on");
  RETURN_IF_ERROR(terms_.SetCorrection(std::move(correction)));
  position_.correction = terms_.correction();
  return absl::OkStatus();
}

absl::StatusOr<TrainStep> Training::NextStep() {
  if (at_hand_.empty()) at_hand_ = planner_->Next();
  const StepSize size = SizeOfStep();
  const std::span<float> gradient = parts_.weights->Gradient();
  std::fill(gradient.begin(), gradient.end(), 0.0f);
  StepLoss sum;
  TrainingPosition next = position_;
  ++next.step;
  for (const PackedRow& pass : at_hand_) {
    if (go_on_ && !go_on_()) return absl::CancelledError(absl::StrCat("step ", next.step, " was ended"));
    AddGradient(pass, size, next, sum);
  }
  at_hand_.clear();
  position_ = next;
  terms_.AddTo(gradient, parts_.weights->Trained());
  const double norm = ClipByNorm(gradient, parts_.options.clip_gradient_norm);
  if (!std::isfinite(sum.loss) || !std::isfinite(norm)) {
    return absl::InternalError(absl::StrCat("training: step ", next.step, " of ", planner_->steps(), ": loss ", sum.loss,
                                            " and gradient norm ", norm, "; a lower learning rate may help"));
  }
  const double rate = LearningRate(parts_.options, next.step, planner_->steps());
  optimizer_.Step(rate, gradient, parts_.weights->Trained());
  parts_.weights->TrainedChanged();
  if (next.step == 1) position_.first_loss = sum.loss;
  position_.last_loss = sum.loss;
  position_.last_preferences = sum.preferences;
  const std::optional<double> held_out_loss = MeasureIfDue();
  if (held_out_loss.has_value() && !std::isfinite(*held_out_loss)) {
    return absl::InternalError(absl::StrCat("training: after step ", next.step, " the held-out loss is ", *held_out_loss,
                                            "; a lower learning rate may help"));
  }
  return TrainStep{.step = next.step,
                   .steps = planner_->steps(),
                   .loss = sum.loss,
                   .gradient_norm = norm,
                   .learning_rate = rate,
                   .tokens = next.tokens,
                   .preferences = sum.preferences,
                   .held_out_loss = held_out_loss};
}

Training::StepSize Training::SizeOfStep() const {
  StepSize size;
  for (const PackedRow& pass : at_hand_) {
    for (const uint32_t index : pass) {
      size.tokens += static_cast<double>(CountLearned(parts_.examples[index]));
      size.preferences += parts_.examples[index].rejected > 0 ? 1 : 0;
    }
  }
  return size;
}

// One pass forth and back.
void Training::AddGradient(const PackedRow& pass, const StepSize& size, TrainingPosition& position, StepLoss& sum) {
  const auto joined = JoinExamples(parts_.examples, pass, frequencies_);
  position.tokens += static_cast<uint64_t>(joined->tokens.numel());
  parts_.weights->SetDropout(parts_.options.dropout, SplitMix64(parts_.options.seed ^ ++position.passes).Next());
  const at::Tensor states = PredictorStates(parts_.shape, *parts_.weights, joined, parts_.layout.kept_layers);
  const PassLoss sums = SumLosses(TokenLosses(states, joined->targets, parts_.weights->OutputMatrix()), *joined,
                                  parts_.reference, parts_.options.dpo_beta);
  sum.preferences.Add(sums.figures);
  at::Tensor loss = sums.text / std::max(1.0, size.tokens);
  if (size.preferences > 0) loss = loss + sums.preferences / size.preferences;
  torch::autograd::backward({loss}, {});
  sum.loss += loss.item<double>();
}

double Training::MeasureHeldOut() {
  const double loss = HeldOutLoss(parts_.shape, *parts_.weights, parts_.held_out, frequencies_, parts_.options);
  early_stop_.Add(position_.step, loss, parts_.weights->Trained());
  return loss;
}

// After a step: what it measured, if it is time. A training that ends goes back to the best.
std::optional<double> Training::MeasureIfDue() {
  const bool due = early_stop_.on() && position_.step % parts_.options.evaluate_every == 0;
  if (parts_.held_out.examples.empty() || (!due && position_.step < planner_->steps())) return std::nullopt;
  const double loss = position_.held_out_loss = MeasureHeldOut();
  if (done() && EndsWithBest()) {
    const EarlyStop::State& best = early_stop_.state();
    std::copy(best.best.begin(), best.best.end(), parts_.weights->Trained().begin());
    parts_.weights->TrainedChanged();
    position_.held_out_loss = best.best_loss;
  }
  return loss;
}

std::optional<double> Training::IfMeasured(double loss) const {
  return parts_.held_out.examples.empty() ? std::nullopt : std::optional(loss);
}

}  // namespace fleetune
