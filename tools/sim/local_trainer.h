#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "lora/adapter/adapter.h"
#include "lora/examples/token_example.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// One training, of a device or of all texts together.
struct LocalTraining {
  const Adapter& start;
  const TrainOptions& options;
  std::span<const TokenExample> examples;
  std::vector<float> correction = {};  // of options.control_variates (lora/plan/control_variates.h); empty: zeros
};

struct LocallyTrained {
  Adapter adapter;
  uint64_t tokens = 0;                    // read
  std::vector<float> mean_gradient = {};  // of options.control_variates
};

// What trains and measures, over one base model. Behind it lies LibTorch (torch_trainer.h), or what a test wants.
class LocalTrainer {
 public:
  virtual ~LocalTrainer() = default;
  virtual absl::StatusOr<LocallyTrained> Train(const LocalTraining& training) = 0;
  // In nats a token. `adapter` may be null: the base alone.
  virtual absl::StatusOr<double> MeanLoss(std::span<const TokenExample> examples, const Adapter* adapter) = 0;
};

}  // namespace fleetune
