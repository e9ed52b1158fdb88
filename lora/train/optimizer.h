#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "lora/plan/training_plan.h"
#include "lora/train/trained_matrix.h"

namespace fleetune {

// One step of one matrix: what it is made of, and what it changes.
struct MatrixStep {
  TrainedMatrix matrix;
  uint64_t step = 0;           // from 1
  double learning_rate = 0;    // of this step
  std::span<const float> gradient;  // matrix.size() floats, row by row
  std::span<float> weights;         // as many
  std::span<float> state;           // what the rule remembers of earlier steps, zeros before the first
};

// How gradients become steps. Remembers nothing itself, so thread-safe.
class OptimizerRule {
 public:
  virtual ~OptimizerRule() = default;
  // Floats that it remembers of a matrix.
  virtual uint64_t StateFloats(const TrainedMatrix& matrix) const = 0;
  virtual void Apply(const MatrixStep& step) const = 0;
};

// AdamW (Loshchilov and Hutter 2019): decay apart from the gradient, both moments corrected for their start at zero.
// Remembers both moments, one after the other.
std::unique_ptr<const OptimizerRule> MakeAdamW(const TrainOptions& options);

// Descent with momentum: v = momentum v + g, w -= rate v, without dampening; decay apart from the gradient, as AdamW's.
// Remembers v, and nothing without momentum.
std::unique_ptr<const OptimizerRule> MakeSgd(const TrainOptions& options);

// AdaFactor (Shazeer and Stern 2018, algorithm 4) with the given learning rate instead of relative steps, and without a
// first moment: the second is a product of its means over rows and over columns, which are all that it remembers.
// Updates whose root mean square is over 1 are scaled down to it; decay apart from the gradient.
std::unique_ptr<const OptimizerRule> MakeAdaFactor(const TrainOptions& options);

// A rule at work on flat parameters. Not thread-safe.
class Optimizer {
 public:
  // The rule that `options` name. Requires matrices that follow one another from 0 without a gap; checked.
  Optimizer(const TrainOptions& options, std::vector<TrainedMatrix> matrices);

  // One step. Requires as many floats in both as the matrices have; checked.
  void Step(double learning_rate, std::span<const float> gradient, std::span<float> weights);

  // With the number of steps all that changes from one to the next: for each matrix what the rule remembers.
  std::span<const float> state() const { return state_; }
  // Requires as many floats as state() has; checked.
  void GoOnFrom(uint64_t steps, std::vector<float> state);

 private:
  const std::unique_ptr<const OptimizerRule> rule_;
  const std::vector<TrainedMatrix> matrices_;
  uint64_t parameters_ = 0;
  uint64_t steps_ = 0;
  std::vector<float> state_;
};

}  // namespace fleetune
