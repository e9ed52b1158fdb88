#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "inference/model/model.h"

namespace fleetune {

struct ReadingBenchOptions {
  uint32_t prompt = 512;  // tokens, in one piece
  uint32_t gen = 128;     // tokens after it, one by one
  uint32_t repeat = 3;
  std::shared_ptr<const Adapter> adapter;  // may be null
};

// Tokens a second, by the clock and by the processor time of a thread (all threads' time divided by their number).
struct ReadingSpeed {
  double wall = 0;
  double processor = 0;
};

struct ReadingSpeeds {
  ReadingSpeed prefill, decode;
  // 1 - speed with the adapter / speed of the base alone, of processor time: what the adapter costs; 0 without one.
  double adapter_share_of_prefill = 0;
  double adapter_share_of_decode = 0;
};

// How fast a model reads a prompt, and then token after token. With an adapter a second sequence of the base alone goes beside it, each
// token by token in turns, so that whatever else the machine does comes to both. Medians of the repetitions. Errors of
// Sequence::Start and Append.
absl::StatusOr<ReadingSpeeds> MeasureReading(const std::shared_ptr<const Model>& model, const ReadingBenchOptions& options);

}  // namespace fleetune
