#include "lora/train/training_threads.h"

#include <algorithm>
#include <thread>

#include "lora/train/libtorch.h"

// Debian's LibTorch multiplies f32 matrices through BLAS and does not tell it how many threads to use.
extern "C" void openblas_set_num_threads(int threads) __attribute__((weak));

namespace fleetune {
namespace {

// Enough that a product is shared by all threads, and an elementwise loop, too.
constexpr int64_t kSide = 512;

}  // namespace

void SetTrainingThreads(uint32_t threads) {
  const auto count = static_cast<int>(threads > 0 ? threads : std::max(1u, std::thread::hardware_concurrency()));
  at::set_num_threads(count);
  if (openblas_set_num_threads != nullptr) openblas_set_num_threads(count);
}

void StartTrainingThreads(ProductType products) {
  const at::Tensor values = at::ones({kSide, kSide});
  at::mm(values, values).add_(values);
  if (products != ProductType::kFloat32) {
    const at::Tensor half = values.to(at::kBFloat16);
    at::mm(half, half);
  }
}

}  // namespace fleetune
