#include "inference/model/packed_adapter.h"

#include "base/bytes.h"
#include "inference/kernels/blocks.h"

namespace fleetune {

PackedAdapter::PackedAdapter(const Adapter& adapter, std::shared_ptr<const RowGains> gains)
    : gains_(std::move(gains)), rank_(adapter.spec().rank()), scale_(adapter.spec().scale()) {
  for (const LoraModule& module : adapter.spec().modules()) {
    const std::span<const float> a = adapter.a(module);
    const std::span<const float> b = adapter.b(module);
    std::vector<float> turned(size_t{module.out} * rank_columns());  // the adapter holds B by rank
    for (size_t r = 0; r < rank_; ++r) {
      for (size_t out = 0; out < module.out; ++out) turned[out * rank_columns() + r] = b[r * module.out + out];
    }
    const TensorType a_type = module.in % 32 == 0 ? TensorType::kQ8_0 : TensorType::kF32;
    modules_[{module.layer, module.projection}] = {
        .a = Pack(a_type, rank_, module.in, {a.begin(), a.end()}),
        .b = Pack(TensorType::kQ8_0, module.out, rank_columns(), turned),
        .gains = gains_ == nullptr ? std::span<const float>() : gains_->Find(module.layer, module.projection)};
  }
}

PackedMatrix PackedAdapter::Pack(TensorType type, uint64_t rows, uint64_t columns,
                                 const std::vector<float>& values) {
  Bytes blocks(values.size() / BlockElements(type) * BlockBytes(type));
  Quantize(type, values, blocks);
  std::vector<Line>& lines = memory_.emplace_back(PackedBytes(type, rows, columns) / sizeof(Line));
  const std::span<uint8_t> bytes(reinterpret_cast<uint8_t*>(lines.data()), lines.size() * sizeof(Line));
  PackRows({.type = type, .data = blocks, .rows = rows, .columns = columns}, bytes);
  return {.type = type, .rows = rows, .columns = columns, .data = bytes};
}

const PackedAdapter::Module* PackedAdapter::Find(uint32_t layer, Projection projection) const {
  const auto found = modules_.find({layer, projection});
  return found == modules_.end() ? nullptr : &found->second;
}

}  // namespace fleetune
