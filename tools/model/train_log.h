#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lora/train/trainer.h"

namespace fleetune {

// A training's file of JSON lines, one a step: step, steps, loss, gradient_norm, learning_rate, tokens,
// tokens_per_second (of this step) and memory_bytes (of the process, now); with preferences also their
// preference_margin and preference_accuracy, and held_out_loss where it was measured. Not thread-safe.
class TrainLog {
 public:
  // Starts `path` anew, or if `resumed_after` is not 0, goes on after that step: lines of later ones, which a stopped
  // training wrote after its last checkpoint, go. Unavailable, DataLoss (a line that is not one of ours).
  static absl::StatusOr<std::unique_ptr<TrainLog>> Open(const std::string& path, uint32_t resumed_after);

  absl::Status Add(const TrainStep& step, double tokens_per_second);

  const std::vector<TrainStep>& steps() const { return steps_; }  // all in the file

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  explicit TrainLog(std::string path) : path_(std::move(path)) {}
  absl::Status Read(uint32_t last);
  absl::Status WriteLine(const std::string& line);

  const std::string path_;
  std::vector<TrainStep> steps_;
  std::vector<std::string> lines_;  // read, until they are written again
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace fleetune
