#include "tools/model/train_bench.h"

#include <algorithm>
#include <chrono>

#include "lora/train/product_rate.h"
#include "tools/model/train_report.h"

namespace fleetune {

TrainBench::Moment TrainBench::Now(uint64_t tokens) {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return {.wall = std::chrono::duration<double>(since).count(), .processor = ProcessorSeconds(), .tokens = tokens};
}

void TrainBench::Start() { first_ = last_ = Now(0); }

void TrainBench::Step(const TrainStep& step) {
  last_ = Now(step.tokens);
  if (!warm_ && step.steps > 1) first_ = last_;
  warm_ = true;
}

nlohmann::ordered_json TrainBench::Figures(const LlamaShape& shape, const TrainerLayout& layout) const {
  const uint64_t peak = PeakMemoryBytes();  // before the rates are measured
  const auto tokens = static_cast<double>(last_.tokens - first_.tokens);
  const double of_processor = tokens / std::max(last_.processor - first_.processor, 1e-9);
  const double f32 = MeasureProductRate(shape, ProductType::kFloat32);
  const double bf16 = MeasureProductRate(shape, ProductType::kBfloat16);
  return {{"tokens_per_second", tokens / std::max(last_.wall - first_.wall, 1e-9)},
          {"tokens_per_cpu_second", of_processor},
          {"share_of_product_rate", of_processor * CountedOperations(shape) / std::max(f32, bf16)},
          {"product_gflops_f32", f32 * 1e-9},
          {"product_gflops_bf16", bf16 * 1e-9},
          {"products", ProductTypeName(layout.products)},
          {"rows_a_pass", layout.rows},
          {"kept_layers", layout.kept_layers},
          {"peak_rss_bytes", peak}};
}

}  // namespace fleetune
