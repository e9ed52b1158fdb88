#include "lora/train/frozen_matrix.h"

#include <algorithm>
#include <span>

#include "base/check.h"
#include "inference/kernels/blocks.h"

namespace fleetune {
namespace {

// Of f32, 16 MB: large enough that products of a block run at full speed, small beside a model.
constexpr int64_t kBlockElements = int64_t{4} << 20;

constexpr int64_t kRowsAThread = 16;  // fewer are not worth waking a thread

void DequantizeRows(const GgufTensor& tensor, int64_t begin, int64_t end, float* out) {
  at::parallel_for(begin, end, kRowsAThread, [&](int64_t from, int64_t to) {
    for (int64_t row = from; row < to; ++row) {
      Dequantize(tensor.type, tensor.row(static_cast<uint64_t>(row)),
                 std::span(out + (row - begin) * static_cast<int64_t>(tensor.columns), tensor.columns));
    }
  });
}

bool IsMappedFloats(const GgufTensor& tensor) {
  return tensor.type == TensorType::kF32 && reinterpret_cast<uintptr_t>(tensor.data.data()) % alignof(float) == 0;
}

}  // namespace

FrozenMatrix::FrozenMatrix(const GgufTensor& tensor, bool keep)
    : tensor_(&tensor),
      rows_(static_cast<int64_t>(tensor.rows)),
      columns_(static_cast<int64_t>(tensor.columns)),
      block_rows_(std::clamp<int64_t>(kBlockElements / columns_, 1, rows_)) {
  CHECK(CanDequantize(tensor.type));
  if (IsMappedFloats(tensor)) {
    // LibTorch has no tensor over const memory. Nothing here writes to it, and the mapping could not be written to.
    whole_ = at::from_blob(const_cast<uint8_t*>(tensor.data.data()), {rows_, columns_}, at::kFloat);
  } else if (keep) {
    whole_ = at::empty({rows_, columns_}, at::kFloat);
    DequantizeRows(tensor, 0, rows_, whole_.data_ptr<float>());
  }
}

at::Tensor FrozenMatrix::Block(int64_t begin, int64_t end) const {
  if (whole_.defined()) return whole_.narrow(0, begin, end - begin);
  if (!buffer_.defined()) buffer_ = at::empty({block_rows_, columns_}, at::kFloat);
  DequantizeRows(*tensor_, begin, end, buffer_.data_ptr<float>());
  return buffer_.narrow(0, 0, end - begin);
}

at::Tensor FrozenMatrix::Multiply(const at::Tensor& x) const {
  if (whole_.defined()) return at::mm(x, whole_.t());
  at::Tensor y = at::empty({x.size(0), rows_}, at::kFloat);
  for (int64_t begin = 0; begin < rows_; begin += block_rows_) {
    const int64_t end = std::min(rows_, begin + block_rows_);
    at::Tensor part = y.narrow(1, begin, end - begin);
    at::mm_out(part, x, Block(begin, end).t());
  }
  return y;
}

at::Tensor FrozenMatrix::MultiplyBack(const at::Tensor& y) const {
  if (whole_.defined()) return at::mm(y, whole_);
  at::Tensor x = at::zeros({y.size(0), columns_}, at::kFloat);
  for (int64_t begin = 0; begin < rows_; begin += block_rows_) {
    const int64_t end = std::min(rows_, begin + block_rows_);
    x.addmm_(y.narrow(1, begin, end - begin), Block(begin, end));
  }
  return x;
}

at::Tensor FrozenMatrix::Gather(const at::Tensor& indices) const {
  if (whole_.defined()) return whole_.index_select(0, indices);
  at::Tensor out = at::empty({indices.size(0), columns_}, at::kFloat);
  const int64_t* index = indices.data_ptr<int64_t>();
  float* row = out.data_ptr<float>();
  for (int64_t i = 0; i < indices.size(0); ++i, row += columns_) DequantizeRows(*tensor_, index[i], index[i] + 1, row);
  return out;
}

at::Tensor ReadFloats(const GgufTensor& tensor) {
  CHECK(CanDequantize(tensor.type));
  at::Tensor out = at::empty({static_cast<int64_t>(tensor.rows * tensor.columns)}, at::kFloat);
  DequantizeRows(tensor, 0, static_cast<int64_t>(tensor.rows), out.data_ptr<float>());
  return out;
}

}  // namespace fleetune
