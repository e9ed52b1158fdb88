#include "lora/train/product_rate.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "lora/train/adapted_weights.h"
#include "lora/train/libtorch.h"

namespace fleetune {
namespace {

constexpr int64_t kRows = 512;
constexpr int kRuns = 5;

double SecondsOf(int64_t in, int64_t out, at::ScalarType type) {
  const at::Tensor x = at::rand({kRows, in}, at::kFloat).to(type);
  const at::Tensor weight = at::rand({out, in}, at::kFloat).to(type);
  at::Tensor y = at::mm(x, weight.t());
  double best = 1e9;
  for (int run = 0; run < kRuns; ++run) {
    const double start = ProcessorSeconds();
    at::mm_out(y, x, weight.t());
    best = std::min(best, ProcessorSeconds() - start);
  }
  return best;
}

}  // namespace

double MeasureProductRate(const LlamaShape& shape, ProductType products) {
  const at::ScalarType type = products == ProductType::kFloat32 ? at::kFloat : at::kBFloat16;
  const BaseSizes sizes = SizesOfBase(shape);
  double operations = 0, seconds = 0;
  for (const ProjectionSizes& projection : sizes.projections) {
    operations += 2.0 * kRows * projection.in * projection.out;
    seconds += SecondsOf(projection.in, projection.out, type);
  }
  return operations / seconds;
}

double CountedOperations(const LlamaShape& shape) {
  double weights = static_cast<double>(shape.vocabulary) * shape.width;
  for (const ProjectionSizes& projection : SizesOfBase(shape).projections) {
    weights += static_cast<double>(projection.in) * projection.out * shape.layers;
  }
  return 4.0 * weights;
}

double ProcessorSeconds() {
  timespec time = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace fleetune
