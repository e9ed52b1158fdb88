#include "inference/model/packed_adapter.h"

#include "base/bytes.h"
#include "inference/kernels/blocks.h"

namespace fleetune {
namespace {

// Projections that read the same vectors have the same.
int GroupOf(Projection projection) {
  switch (projection) {
    case Projection::kQ:
    case Projection::kK:
    case Projection::kV:
      return 0;
    case Projection::kO:
      return 1;
    case Projection::kGate:
    case Projection::kUp:
      return 2;
    case Projection::kDown:
      return 3;
  }
  return 3;
}

std::span<uint8_t> TakeFirst(std::span<uint8_t>& memory, uint64_t bytes) {
  const std::span<uint8_t> taken = memory.first(bytes);
  memory = memory.subspan(bytes);
  return taken;
}

uint64_t BytesOf(const PackedMatrix& shape) {
  return PackedBytes(shape.type, shape.rows, shape.columns, shape.half_blocks);
}

}  // namespace

PackedAdapter::PackedAdapter(const Adapter& adapter, std::shared_ptr<const RowGains> gains)
    : gains_(std::move(gains)), rank_(adapter.spec().rank()), scale_(adapter.spec().scale()) {
  const std::vector<LoraModule>& modules = adapter.spec().modules();  // by layer, then by projection
  const auto shape_a = [this](const LoraModule& module) {
    const TensorType type = module.in % 32 == 0 ? TensorType::kQ8_0 : TensorType::kF32;
    return PackedMatrix{.type = type, .rows = rank_, .columns = module.in, .data = {}};
  };
  const auto shape_b = [this](const LoraModule& module) {
    return PackedMatrix{
        .type = TensorType::kQ8_0, .rows = module.out, .columns = rank_columns(), .data = {}, .half_blocks = rank_ <= 16};
  };
  if (!modules.empty()) modules_.resize(PlaceOf(modules.back().layer, Projection{}) + kNumProjections);
  uint64_t bytes = 0;
  for (const LoraModule& module : modules) bytes += BytesOf(shape_a(module)) + BytesOf(shape_b(module));
  memory_ = PageMemory(bytes);
  std::span<uint8_t> left = memory_.bytes();

  const auto place_a = [&](const LoraModule& module) {
    const std::span<const float> a = adapter.a(module);
    const PackedMatrix shape = shape_a(module);
    modules_[PlaceOf(module.layer, module.projection)].a = Pack(shape, {a.begin(), a.end()}, TakeFirst(left, BytesOf(shape)));
  };
  const auto place_b = [&](const LoraModule& module) {
    const std::span<const float> b = adapter.b(module);
    std::vector<float> turned(size_t{module.out} * rank_columns());  // the adapter holds B by rank
    for (size_t r = 0; r < rank_; ++r) {
      for (size_t out = 0; out < module.out; ++out) turned[out * rank_columns() + r] = b[r * module.out + out];
    }
    const PackedMatrix shape = shape_b(module);
    Module& packed = modules_[PlaceOf(module.layer, module.projection)];
    packed.b = Pack(shape, turned, TakeFirst(left, BytesOf(shape)));
    if (gains_ != nullptr) packed.gains = gains_->Find(module.layer, module.projection);
  };
  for (size_t first = 0, end = 0; first < modules.size(); first = end) {
    const auto alike = [&](const LoraModule& module) {
      return module.layer == modules[first].layer && GroupOf(module.projection) == GroupOf(modules[first].projection);
    };
    while (end < modules.size() && alike(modules[end])) ++end;
    for (size_t i = first; i < end; ++i) place_a(modules[i]);
    for (size_t i = first; i < end; ++i) place_b(modules[i]);
  }
}

PackedMatrix PackedAdapter::Pack(PackedMatrix shape, const std::vector<float>& values, std::span<uint8_t> memory) {
  Bytes blocks(values.size() / BlockElements(shape.type) * BlockBytes(shape.type));
  Quantize(shape.type, values, blocks);
  PackRows({.type = shape.type, .data = blocks, .rows = shape.rows, .columns = shape.columns}, memory, shape.half_blocks);
  shape.data = memory;
  return shape;
}

const PackedAdapter::Module* PackedAdapter::Find(uint32_t layer, Projection projection) const {
  const size_t place = PlaceOf(layer, projection);
  return place < modules_.size() && modules_[place].b.rows > 0 ? &modules_[place] : nullptr;
}

}  // namespace fleetune
