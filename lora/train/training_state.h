#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "lora/train/early_stop.h"
#include "lora/train/preference_figures.h"

namespace fleetune {

// Where a training is.
struct TrainingPosition {
  Digest training{};         // names model, start, options, examples and type of products
  Digest correction{};       // GradientTerms::correction
  uint32_t rows_a_pass = 1;  // TrainerLayout::rows: which rows are added up first
  uint32_t step = 0;         // done
  uint64_t passes = 0;       // done: seeds dropout
  uint64_t tokens = 0;
  double first_loss = 0;
  double last_loss = 0;
  PreferenceFigures last_preferences = {};
  double held_out_loss = 0;  // as last measured; 0 before

  friend bool operator==(const TrainingPosition&, const TrainingPosition&) = default;
};

// What it has changed.
struct TrainedFloats {
  std::span<const float> trained;    // A (if it is), of DoRA its magnitudes, and B (if it is)
  std::span<const float> optimizer;  // Optimizer::state
  std::span<const float> gradients;  // GradientTerms::sum
  const EarlyStop::State* early_stop = nullptr;
};

// All that a training must remember between two steps to go on bit for bit; what it learns from is given again. A file
// of it is a checkpoint: docs/formats/training_checkpoint.md.
struct TrainingState {
  TrainingPosition position;
  std::vector<float> trained;
  std::vector<float> optimizer;
  std::vector<float> gradients;
  EarlyStop::State early_stop;

  TrainedFloats floats() const { return {trained, optimizer, gradients, &early_stop}; }
  friend bool operator==(const TrainingState&, const TrainingState&) = default;
};

// Copies the floats once. Requires an early_stop; checked.
Bytes EncodeTrainingState(const TrainingPosition& position, const TrainedFloats& floats);

// The inverse. InvalidArgument (no checkpoint, another version), DataLoss (cut off, changed, a value that is not
// finite), ResourceExhausted (more floats than any adapter has).
absl::StatusOr<TrainingState> DecodeTrainingState(std::span<const uint8_t> bytes);

// From a file that was written with WriteFileAtomic. Errors of ReadFile and DecodeTrainingState.
absl::StatusOr<TrainingState> LoadTrainingState(const std::string& path);

}  // namespace fleetune
