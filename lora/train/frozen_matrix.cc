#include "lora/train/frozen_matrix.h"

#include <algorithm>
#include <span>

#include "base/check.h"
#include "inference/kernels/blocks.h"
#include "lora/plan/training_memory.h"
#include "lora/train/weight_rows.h"

namespace fleetune {
namespace {

constexpr int64_t kRowsAThread = 16;  // fewer are not worth waking a thread

void ReadRows(const GgufTensor& tensor, int64_t begin, int64_t end, const at::Tensor& out) {
  const auto columns = static_cast<size_t>(tensor.columns);
  const auto first = static_cast<size_t>(begin);
  at::parallel_for(begin, end, kRowsAThread, [&](int64_t from, int64_t to) {
    const auto row = static_cast<size_t>(from);
    const size_t count = static_cast<size_t>(to) - row;
    const auto blocks = tensor.data.subspan(row * tensor.row_bytes, count * tensor.row_bytes);
    const size_t at = (row - first) * columns;
    if (out.scalar_type() == at::kFloat) {
      ReadWeightRows(tensor.type, blocks, std::span(out.data_ptr<float>() + at, count * columns));
    } else {
      ReadWeightRows(tensor.type, blocks,
                     std::span(reinterpret_cast<uint16_t*>(out.data_ptr<at::BFloat16>()) + at, count * columns));
    }
  });
}

bool IsMappedFloats(const GgufTensor& tensor) {
  return tensor.type == TensorType::kF32 && reinterpret_cast<uintptr_t>(tensor.data.data()) % alignof(float) == 0;
}

}  // namespace

at::Tensor WeightBuffer::Take(int64_t rows, int64_t columns, at::ScalarType type) {
  const int64_t bytes = rows * columns * static_cast<int64_t>(c10::elementSize(type));
  if (!memory_.defined() || memory_.numel() < bytes) memory_ = at::empty({bytes}, at::kByte);
  return memory_.narrow(0, 0, bytes).view(type).view({rows, columns});
}

FrozenMatrix::FrozenMatrix(const GgufTensor& tensor, const Options& options)
    : tensor_(&tensor),
      type_(options.type),
      int8_forward_(options.int8_forward && HasInt8Products(tensor.type)),
      buffer_(options.buffer),
      rows_(static_cast<int64_t>(tensor.rows)),
      columns_(static_cast<int64_t>(tensor.columns)),
      block_rows_(static_cast<int64_t>(WeightBlockRows(tensor.rows, tensor.columns))) {
  CHECK(options.keep || buffer_ != nullptr);
  CHECK(!options.int8_forward || type_ == at::kBFloat16);
  if (type_ == at::kFloat && IsMappedFloats(tensor)) {
    // LibTorch has no tensor over const memory. Nothing here writes to it, and the mapping could not be written to.
    whole_ = at::from_blob(const_cast<uint8_t*>(tensor.data.data()), {rows_, columns_}, at::kFloat);
  } else if (options.keep) {
    whole_ = at::empty({rows_, columns_}, type_);
    ReadRows(tensor, 0, rows_, whole_);
  }
}

at::Tensor FrozenMatrix::Block(int64_t begin, int64_t end) const {
  if (whole_.defined()) return whole_.narrow(0, begin, end - begin);
  at::Tensor block = buffer_->Take(end - begin, columns_, type_);
  ReadRows(*tensor_, begin, end, block);
  return block;
}

at::Tensor FrozenMatrix::Multiply(const at::Tensor& x) const {
  if (whole_.defined()) return at::mm(x, whole_.t());
  if (block_rows_ == rows_) return at::mm(x, Block(0, rows_).t());
  at::Tensor y = at::empty({x.size(0), rows_}, type_);
  for (int64_t begin = 0; begin < rows_; begin += block_rows_) {
    const int64_t end = std::min(rows_, begin + block_rows_);
    y.narrow(1, begin, end - begin).copy_(at::mm(x, Block(begin, end).t()));
  }
  return y;
}

at::Tensor FrozenMatrix::Forward(const ForwardInput& x) const {
  return int8_forward_ ? MultiplyInt8(x.int8(), *tensor_, 0, rows_) : Multiply(x.values());
}

at::Tensor FrozenMatrix::Forward(const ForwardInput& x, int64_t begin, const at::Tensor& block) const {
  return int8_forward_ ? MultiplyInt8(x.int8(), *tensor_, begin, begin + block.size(0)) : at::mm(x.values(), block.t());
}

void FrozenMatrix::MultiplyBack(const at::Tensor& y, at::Tensor& sum) const {
  const int64_t step = whole_.defined() ? rows_ : block_rows_;
  for (int64_t begin = 0; begin < rows_; begin += step) {
    const int64_t end = std::min(rows_, begin + step);
    const at::Tensor part = y.narrow(1, begin, end - begin).contiguous();
    if (sum.defined()) {
      sum.addmm_(part, Block(begin, end));
    } else {
      sum = at::mm(part, Block(begin, end));
    }
  }
}

at::Tensor FrozenMatrix::Gather(const at::Tensor& indices) const {
  if (whole_.defined()) return whole_.index_select(0, indices);
  at::Tensor out = at::empty({indices.size(0), columns_}, type_);
  const int64_t* index = indices.data_ptr<int64_t>();
  for (int64_t i = 0; i < indices.size(0); ++i) ReadRows(*tensor_, index[i], index[i] + 1, out.narrow(0, i, 1));
  return out;
}

at::Tensor ReadFloats(const GgufTensor& tensor) {
  at::Tensor out = at::empty({static_cast<int64_t>(tensor.rows * tensor.columns)}, at::kFloat);
  ReadRows(tensor, 0, static_cast<int64_t>(tensor.rows), out);
  return out;
}

}  // namespace fleetune
