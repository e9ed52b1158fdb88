#pragma once

#include <cstdint>

#include "inference/gguf/llama_shape.h"
#include "lora/train/trainer.h"
#include "nlohmann/json.hpp"

namespace fleetune {

// How fast a training runs beside what this machine's matrix products could do, from the second step on (the first
// fills caches and maps the model). In processor time, so that other programs do not count. Not thread-safe.
class TrainBench {
 public:
  // Counts what follows.
  void Start();
  void Step(const TrainStep& step);

  // tokens_per_second, tokens_per_cpu_second, share_of_product_rate (operations of CountedOperations, against the rate
  // of the faster type of products), product_gflops_f32 and _bf16, peak_rss_bytes, layout. Measures the rates now, with
  // the threads that were set.
  nlohmann::ordered_json Figures(const LlamaShape& shape, const TrainerLayout& layout) const;

 private:
  struct Moment {
    double wall = 0, processor = 0;
    uint64_t tokens = 0;
  };
  static Moment Now(uint64_t tokens);

  Moment first_, last_;
  bool warm_ = false;
};

}  // namespace fleetune
