#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <algorithm>
#include <span>
#include <vector>

#include "lora/train/bfloat.h"
#include "lora/train/libtorch.h"

namespace fleetune {

// Calls body(first row, number of rows) on parts of `rows` rows of `width` elements, divided among LibTorch's threads.
template <typename Body>
void ForRows(int64_t rows, int64_t width, const Body& body) {
  constexpr int64_t kElementsAThread = 32 * 1024;  // fewer are not worth waking a thread
  const int64_t grain = std::max<int64_t>(1, kElementsAThread / std::max<int64_t>(1, width));
  at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
    body(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  });
}

inline std::span<float> Floats(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

// One thread's way to rows of a contiguous tensor [n, width] of f32 or bf16, or to some columns of them: f32 rows where they
// lie, others through a copy that stays in the cache. Borrows the tensor.
class TensorRows {
 public:
  explicit TensorRows(const at::Tensor& tensor) : TensorRows(tensor, 0, static_cast<size_t>(tensor.size(1))) {}
  TensorRows(const at::Tensor& tensor, size_t first_column, size_t columns)
      : stride_(static_cast<size_t>(tensor.size(1))),
        width_(columns),
        floats_(tensor.scalar_type() == at::kFloat ? tensor.data_ptr<float>() + first_column : nullptr),
        bfloats_(floats_ != nullptr
                     ? nullptr
                     : reinterpret_cast<uint16_t*>(tensor.data_ptr<at::BFloat16>()) + first_column),
        copy_(floats_ != nullptr ? 0 : width_) {}

  // Valid until the next call.
  std::span<const float> Read(size_t row) {
    if (floats_ != nullptr) return {floats_ + row * stride_, width_};
    FromBfloats({bfloats_ + row * stride_, width_}, copy_);
    return copy_;
  }

  // A row to be written, undefined at first; Write(row) puts it into the tensor.
  std::span<float> Start(size_t row) {
    if (floats_ != nullptr) return {floats_ + row * stride_, width_};
    return copy_;
  }
  void Write(size_t row) {
    if (floats_ == nullptr) ToBfloats(copy_, {bfloats_ + row * stride_, width_});
  }

 private:
  const size_t stride_;
  const size_t width_;
  float* const floats_;
  uint16_t* const bfloats_;
  std::vector<float> copy_;
};

}  // namespace fleetune
