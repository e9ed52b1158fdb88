#include "lora/train/int8_product.h"

#include <algorithm>
#include <span>

#include "base/check.h"
#include "inference/kernels/packed_product.h"
#include "inference/kernels/panel_layout.h"
#include "lora/train/bfloat.h"

namespace fleetune {
namespace {

// Rows of W that are rearranged at a time: with a group of rows of x and their results they stay in a core's cache.
constexpr int64_t kWeightRows = 128;

Compute OneThread() { return {.set = UsableInstructionSets().back(), .workers = nullptr}; }

WeightMatrix Rows(const GgufTensor& w, int64_t begin, int64_t end) {
  WeightMatrix rows;
  rows.type = w.type;
  rows.rows = static_cast<uint64_t>(end - begin);
  rows.columns = w.columns;
  rows.data = w.data.subspan(static_cast<size_t>(begin) * w.row_bytes, rows.rows * w.row_bytes);
  return rows;
}

// One thread's part of a product.
class RowsProduct {
 public:
  RowsProduct(const Int8Rows& x, const GgufTensor& w, const Compute& compute)
      : x_(x),
        w_(w),
        compute_(compute),
        packed_(at::empty({static_cast<int64_t>(PackedBytes(w.type, kWeightRows, w.columns))}, at::kByte)),
        sums_(static_cast<size_t>(Int8Rows::kGroup * kWeightRows)) {}

  // Rows begin .. end - 1 of W, at most kWeightRows, to the columns of y that begin at `y`.
  void Multiply(int64_t begin, int64_t end, uint16_t* y, size_t y_stride) {
    const WeightMatrix rows = Rows(w_, begin, end);
    const std::span<uint8_t> bytes(packed_.data_ptr<uint8_t>(), PackedBytes(rows.type, rows.rows, rows.columns));
    PackRows(rows, bytes);
    const PackedMatrix packed = {.type = rows.type, .rows = rows.rows, .columns = rows.columns, .data = bytes};
    for (const VectorTiles& group : x_.groups()) {
      const std::span<float> sums = std::span(sums_).first(group.vectors() * rows.rows);
      std::ranges::fill(sums, 0.0f);
      const PackedProduct product = {.w = &packed, .x = &group, .y = sums};
      AddProducts({&product, 1}, compute_);
      for (size_t t = 0; t < group.vectors(); ++t, y += y_stride) {
        ToBfloats(sums.subspan(t * rows.rows, rows.rows), {y, rows.rows});
      }
    }
  }

 private:
  const Int8Rows& x_;
  const GgufTensor& w_;
  const Compute compute_;
  const at::Tensor packed_;
  std::vector<float> sums_;
};

}  // namespace

bool HasInt8Products(TensorType type) { return !IsFloatType(type); }

Int8Rows::Int8Rows(const at::Tensor& x) : rows_(x.size(0)), groups_(static_cast<size_t>((rows_ + kGroup - 1) / kGroup)) {
  CHECK(x.is_contiguous() && x.scalar_type() == at::kBFloat16);
  const auto columns = static_cast<size_t>(x.size(1));
  const auto* values = reinterpret_cast<const uint16_t*>(x.data_ptr<at::BFloat16>());
  const Compute compute = OneThread();
  at::parallel_for(0, static_cast<int64_t>(groups_.size()), 1, [&](int64_t first, int64_t last) {
    std::vector<float> floats;
    for (int64_t i = first; i < last; ++i) {
      const auto count = static_cast<size_t>(std::min(kGroup, rows_ - i * kGroup)) * columns;
      floats.resize(count);
      FromBfloats({values + static_cast<size_t>(i * kGroup) * columns, count}, floats);
      groups_[static_cast<size_t>(i)].Fill(floats, columns, {.quantized = true}, compute);
    }
  });
}

at::Tensor MultiplyInt8(const Int8Rows& x, const GgufTensor& w, int64_t begin, int64_t end) {
  CHECK(HasInt8Products(w.type));
  const int64_t width = end - begin;
  at::Tensor y = at::empty({x.rows(), width}, at::kBFloat16);
  auto* values = reinterpret_cast<uint16_t*>(y.data_ptr<at::BFloat16>());
  const Compute compute = OneThread();
  at::parallel_for(0, (width + kWeightRows - 1) / kWeightRows, 1, [&](int64_t first, int64_t last) {
    RowsProduct product(x, w, compute);
    for (int64_t i = first; i < last; ++i) {
      const int64_t at = i * kWeightRows;
      product.Multiply(begin + at, begin + std::min(width, at + kWeightRows), values + at, static_cast<size_t>(width));
    }
  });
  return y;
}

}  // namespace fleetune
