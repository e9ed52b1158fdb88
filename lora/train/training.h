#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "inference/gguf/llama_shape.h"
#include "lora/train/adapted_weights.h"
#include "lora/train/early_stop.h"
#include "lora/train/gradient_terms.h"
#include "lora/train/held_out_loss.h"
#include "lora/train/optimizer.h"
#include "lora/train/packing.h"
#include "lora/train/preference_loss.h"
#include "lora/train/trained_matrix.h"
#include "lora/train/trainer.h"

namespace fleetune {

// A training at work, from parts that fit each other: AdapterTrainer::Create checks and makes them. Its steps are in
// training.cc; how it stops, and goes on in another process, is in training_checkpoint.cc.
class Training final : public AdapterTrainer {
 public:
  struct Parts {
    LlamaShape shape;
    std::span<const TokenExample> examples;
    TrainOptions options;
    TrainerLayout layout;
    std::unique_ptr<AdaptedWeights> weights;
    std::vector<TrainedMatrix> matrices;
    std::vector<AnswerLogs> reference;  // of each example
    HeldOutExamples held_out;
    Digest name;
  };

  // Throws what LibTorch throws.
  explicit Training(Parts parts);

  bool done() const override { return position_.step == planner_->steps() || early_stop_.stopped(); }
  const TrainerLayout& layout() const override { return parts_.layout; }
  absl::StatusOr<TrainStep> Step() override;
  void AskBeforePass(std::function<bool()> go_on) override { go_on_ = std::move(go_on); }
  absl::StatusOr<TrainResult> Result() const override;
  uint32_t steps_done() const override { return position_.step; }
  uint64_t tokens_read() const override { return position_.tokens; }
  absl::Status CorrectGradient(std::vector<float> correction) override;
  Bytes Checkpoint() const override;
  absl::Status GoOnFrom(TrainingState state) override;

 private:
  // What the losses of a step are means over.
  struct StepSize {
    double tokens = 0;
    double preferences = 0;
  };
  // What its passes have added up.
  struct StepLoss {
    double loss = 0;
    PreferenceFigures preferences;
  };

  absl::StatusOr<TrainStep> NextStep();
  StepSize SizeOfStep() const;
  void AddGradient(const PackedRow& pass, const StepSize& size, TrainingPosition& position, StepLoss& sum);
  double MeasureHeldOut();
  std::optional<double> MeasureIfDue();
  std::optional<double> IfMeasured(double loss) const;
  bool EndsWithBest() const { return !early_stop_.state().best.empty(); }
  absl::Status CheckIsOfThis(const TrainingState& state) const;

  Parts parts_;
  const std::vector<double> frequencies_;
  std::unique_ptr<StepPlanner> planner_;
  GradientTerms terms_;
  Optimizer optimizer_;
  EarlyStop early_stop_;
  TrainingPosition position_;       // of the steps done
  std::vector<PackedRow> at_hand_;  // of a step that was begun; empty: none
  std::function<bool()> go_on_;
  double held_out_before_ = 0;  // 0: there is no held-out example
};

}  // namespace fleetune
