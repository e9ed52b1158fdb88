#include "lora/train/training_threads.h"

#include "lora/train/libtorch.h"

namespace fleetune {
namespace {

// Enough that a product is shared by all threads, and an elementwise loop, too.
constexpr int64_t kSide = 512;

}  // namespace

void StartTrainingThreads(ProductType products) {
  const at::Tensor values = at::ones({kSide, kSide});
  at::mm(values, values).add_(values);
  if (products == ProductType::kBfloat16) {
    const at::Tensor half = values.to(at::kBFloat16);
    at::mm(half, half);
  }
}

}  // namespace fleetune
