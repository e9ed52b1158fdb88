#include "inference/model/model.h"

#include <algorithm>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/kernels/cache_layout.h"
#include "inference/model/cached_sequence.h"
#include "inference/model/made_of_adapters.h"
#include "inference/model/packed_adapter.h"
#include "inference/model/packed_sequence.h"
#include "inference/model/row_gains.h"
#include "inference/model/weights.h"

namespace fleetune {
namespace {

absl::Status CheckCacheType(const LlamaShape& shape, TensorType type) {
  if (IsCacheType(type, shape.head_size)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("keys and values cannot be kept as {}: expected F16, or Q8_0 for heads of up to 32 elements or a multiple "
                  "of 32; this model's have {}",
                  TensorTypeName(type), shape.head_size));
}

// Tokens of which the keys and values fit into the memory for them; at most the model's context.
absl::StatusOr<uint32_t> ContextWithin(const LlamaShape& shape, const ModelCompute& compute) {
  if (!compute.cache_memory) return shape.context;
  const uint64_t of_block = compute.packed == nullptr
                                ? CachedSequence::SavedBytes(shape, kCacheBlock)
                                : PackedSequence::SavedBytes(shape, compute.cache_type, kCacheBlock);
  const uint64_t blocks = *compute.cache_memory / of_block;
  if (blocks > 0) return static_cast<uint32_t>(std::min<uint64_t>(shape.context, blocks * kCacheBlock));
  return absl::ResourceExhaustedError(
      fmt::format("keys and values of one answer may take {} bytes; those of {} tokens take {}", *compute.cache_memory,
                  kCacheBlock, of_block));
}

}  // namespace

Model::Model(std::shared_ptr<const GgufFile> file, LlamaShape shape, ModelCompute compute)
    : file_(std::move(file)),
      shape_(std::move(shape)),
      compute_(std::move(compute)),
      weights_(std::make_unique<const ModelWeights>(FindWeights(*file_, shape_))),
      packed_adapters_(std::make_unique<MadeOfAdapters<PackedAdapter>>()),
      gains_(std::make_unique<MadeOfAdapters<RowGains>>()) {
  if (compute_.packed == nullptr) return;
  packed_weights_ = std::make_unique<const PackedWeights>(FindPackedWeights(*compute_.packed, shape_));
  file_->ReleasePages();  // the matrices around the vectors that were read came with them
}
Model::~Model() = default;

absl::StatusOr<std::shared_ptr<const Model>> Model::Load(std::shared_ptr<const GgufFile> file,
                                                         ModelCompute compute) {
  ASSIGN_OR_RETURN(LlamaShape shape, ReadLlamaShape(*file));
  RETURN_IF_ERROR(CheckCacheType(shape, compute.cache_type));
  ASSIGN_OR_RETURN(shape.context, ContextWithin(shape, compute));
  return std::shared_ptr<const Model>(new Model(std::move(file), std::move(shape), std::move(compute)));
}

absl::StatusOr<std::shared_ptr<const RowGains>> Model::GainsOf(const std::shared_ptr<const Adapter>& adapter) const {
  if (!adapter->spec().dora()) return nullptr;
  return gains_->Of(adapter, [&] { return RowGains::Of(*adapter, *weights_, compute()); });
}

absl::StatusOr<std::shared_ptr<const PackedAdapter>> Model::PackedOf(
    const std::shared_ptr<const Adapter>& adapter) const {
  ASSIGN_OR_RETURN(const std::shared_ptr<const RowGains> gains, GainsOf(adapter));
  return packed_adapters_->Of(adapter, [&] { return std::make_shared<const PackedAdapter>(*adapter, gains); });
}

BaseSizes SizesOf(const LlamaShape& shape) {
  const uint32_t q_size = shape.heads * shape.head_size;
  const uint32_t kv_size = shape.kv_heads * shape.head_size;
  BaseSizes sizes;
  sizes.layers = shape.layers;
  const auto set = [&sizes](Projection projection, uint32_t in, uint32_t out) {
    sizes.projections[static_cast<size_t>(projection)] = {.in = in, .out = out};
  };
  set(Projection::kQ, shape.width, q_size);
  set(Projection::kK, shape.width, kv_size);
  set(Projection::kV, shape.width, kv_size);
  set(Projection::kO, q_size, shape.width);
  set(Projection::kGate, shape.width, shape.feed_forward);
  set(Projection::kUp, shape.width, shape.feed_forward);
  set(Projection::kDown, shape.feed_forward, shape.width);
  return sizes;
}

namespace {

absl::Status CheckFits(const Adapter& adapter, const LlamaShape& shape) {
  const BaseSizes expected = SizesOf(shape);
  for (const LoraModule& module : adapter.spec().modules()) {
    if (module.layer >= expected.layers) {
      return absl::InvalidArgumentError(fmt::format("the adapter changes layer {}; the model has {} layers",
                                                    module.layer, expected.layers));
    }
    const ProjectionSizes& sizes = expected.projections[static_cast<size_t>(module.projection)];
    if (module.in != sizes.in || module.out != sizes.out) {
      return absl::InvalidArgumentError(fmt::format(
          "the adapter's {} in layer {} is {} to {}; the model's is {} to {}",
          ProjectionName(module.projection), module.layer, module.in, module.out, sizes.in, sizes.out));
    }
  }
  if (adapter.spec().base().layers != expected.layers) {
    return absl::InvalidArgumentError(fmt::format("the adapter is for a model of {} layers; this one has {}",
                                                  adapter.spec().base().layers, expected.layers));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Sequence>> Sequence::Start(std::shared_ptr<const Model> model,
                                                          std::shared_ptr<const Adapter> adapter,
                                                          uint32_t max_tokens) {
  const LlamaShape& shape = model->shape();
  if (max_tokens < 1 || max_tokens > shape.context) {
    return absl::InvalidArgumentError(
        fmt::format("a sequence of {} tokens; the model's context takes 1 to {}", max_tokens, shape.context));
  }
  if (adapter != nullptr) RETURN_IF_ERROR(CheckFits(*adapter, shape));
  if (model->packed_weights() != nullptr) {
    std::shared_ptr<const PackedAdapter> packed;
    if (adapter != nullptr) {
      ASSIGN_OR_RETURN(packed, model->PackedOf(adapter));
    }
    return std::make_unique<PackedSequence>(std::move(model), std::move(packed), max_tokens);
  }
  std::shared_ptr<const RowGains> gains;
  if (adapter != nullptr) {
    ASSIGN_OR_RETURN(gains, model->GainsOf(adapter));
  }
  return std::make_unique<CachedSequence>(std::move(model), std::move(adapter), std::move(gains), max_tokens);
}

}  // namespace fleetune
