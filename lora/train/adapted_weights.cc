#include "lora/train/adapted_weights.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "lora/plan/training_memory.h"
#include "lora/train/base_tensors.h"

namespace fleetune {
namespace {

ProjectionSizes SizesOfProjection(const LlamaShape& shape, Projection projection) {
  const uint32_t query = shape.heads * shape.head_size;
  const uint32_t key = shape.kv_heads * shape.head_size;
  switch (projection) {
    case Projection::kQ:
      return {shape.width, query};
    case Projection::kK:
    case Projection::kV:
      return {shape.width, key};
    case Projection::kO:
      return {query, shape.width};
    case Projection::kGate:
    case Projection::kUp:
      return {shape.width, shape.feed_forward};
    case Projection::kDown:
      return {shape.feed_forward, shape.width};
  }
  return {};
}

// A matrix that lies in a flat tensor.
at::Tensor Part(const at::Tensor& flat, int64_t offset, int64_t rows, int64_t columns) {
  return flat.narrow(0, offset, rows * columns).view({rows, columns});
}

}  // namespace

BaseSizes SizesOfBase(const LlamaShape& shape) {
  BaseSizes sizes{.layers = shape.layers, .projections = {}};
  for (size_t i = 0; i < kNumProjections; ++i) {
    sizes.projections[i] = SizesOfProjection(shape, static_cast<Projection>(i));
  }
  return sizes;
}

absl::Status CheckSpecFits(const AdapterSpec& spec, const LlamaShape& shape) {
  if (spec.base().layers != shape.layers) {
    return absl::InvalidArgumentError(
        absl::StrCat("the adapter is for ", spec.base().layers, " layers, the model has ", shape.layers));
  }
  for (const Projection projection : spec.targets()) {
    const ProjectionSizes adapter = spec.base().projections[static_cast<size_t>(projection)];
    const ProjectionSizes model = SizesOfProjection(shape, projection);
    if (adapter.in == model.in && adapter.out == model.out) continue;
    return absl::InvalidArgumentError(absl::StrCat("the adapter's ", std::string(ProjectionName(projection)), " is ",
                                                   adapter.in, " to ", adapter.out, ", the model's is ", model.in,
                                                   " to ", model.out));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<AdaptedWeights>> AdaptedWeights::Create(const GgufFile& file, const LlamaShape& shape,
                                                                       const Adapter& adapter, const Options& options) {
  std::unique_ptr<AdaptedWeights> weights(new AdaptedWeights(adapter.spec(), options));
  RETURN_IF_ERROR(weights->LoadBase(file, shape));
  RETURN_IF_ERROR(weights->LoadAdapter(file, adapter));
  return weights;
}

AdaptedWeights::AdaptedWeights(AdapterSpec spec, const Options& options)
    : spec_(std::move(spec)),
      trained_(options.trained),
      ranks_(options.ranks == 0 ? spec_.rank() : std::min(options.ranks, spec_.rank())),
      int8_forward_(options.products == ProductType::kInt8),
      type_(options.products == ProductType::kFloat32 ? at::kFloat : at::kBFloat16),
      buffer_(std::make_shared<WeightBuffer>()) {}

absl::Status AdaptedWeights::LoadBase(const GgufFile& file, const LlamaShape& shape) {
  uint64_t floats = 0;
  for (const GgufTensor& tensor : file.tensors()) floats += tensor.rows * tensor.columns;
  const FrozenMatrix::Options options = {.type = type_, .int8_forward = int8_forward_, .keep = floats <= kKeptWeights,
                                         .buffer = buffer_};

  ASSIGN_OR_RETURN(const GgufTensor* embedding, BaseTensor(file, "token_embd.weight"));
  ASSIGN_OR_RETURN(const GgufTensor* norm, BaseTensor(file, "output_norm.weight"));
  embedding_ = FrozenMatrix(*embedding, options);
  output_norm_ = ReadFloats(*norm);
  output_ = embedding_;
  if (!shape.tied_output) {
    ASSIGN_OR_RETURN(const GgufTensor* output, BaseTensor(file, "output.weight"));
    output_ = FrozenMatrix(*output, options);
  }
  layers_.resize(shape.layers);
  for (uint32_t index = 0; index < shape.layers; ++index) {
    Layer& layer = layers_[index];
    for (size_t i = 0; i < kNumProjections; ++i) {
      ASSIGN_OR_RETURN(const GgufTensor* weight, BaseTensor(file, index, static_cast<Projection>(i)));
      layer.weights[i] = FrozenMatrix(*weight, options);
      if (!shape.qkv_bias || i > static_cast<size_t>(Projection::kV)) continue;
      ASSIGN_OR_RETURN(const GgufTensor* bias, BaseTensor(file, index, static_cast<Projection>(i), "bias"));
      layer.biases[i] = ReadFloats(*bias).to(type_);
    }
    ASSIGN_OR_RETURN(const GgufTensor* attention_norm, BaseTensor(file, BlockTensorName(index, "attn_norm")));
    ASSIGN_OR_RETURN(const GgufTensor* feed_forward_norm, BaseTensor(file, BlockTensorName(index, "ffn_norm")));
    layer.attention_norm = ReadFloats(*attention_norm);
    layer.feed_forward_norm = ReadFloats(*feed_forward_norm);
  }
  return absl::OkStatus();
}

absl::Status AdaptedWeights::LoadAdapter(const GgufFile& file, const Adapter& adapter) {
  if (spec_.dora() && ranks_ < spec_.rank()) {
    return absl::InvalidArgumentError(absl::StrCat("ranks: expected all ", spec_.rank(), " of a DoRA adapter, got ", ranks_,
                                                   ": its magnitudes are of their sum"));
  }
  parameters_ = at::empty({static_cast<int64_t>(b_begin() + spec_.b_size())}, at::kFloat);
  float* values = parameters_.data_ptr<float>();
  std::copy(adapter.a().begin(), adapter.a().end(), values);
  std::copy(adapter.magnitudes().begin(), adapter.magnitudes().end(), values + spec_.a_size());
  std::copy(adapter.b().begin(), adapter.b().end(), values + b_begin());
  if (ranks_ < spec_.rank()) {
    std::vector<float> leading;
    ForEachLeading([&](uint64_t offset, uint64_t floats) {
      leading.insert(leading.end(), values + offset, values + offset + floats);
    });
    leading_ = at::tensor(at::ArrayRef<float>(leading), at::kFloat);
  }
  gradient_ = at::zeros({static_cast<int64_t>(Trained().size())}, at::kFloat);
  product_parameters_ = parameters_.to(type_);
  return LoadGains(file, adapter);
}

absl::Status AdaptedWeights::LoadGains(const GgufFile& file, const Adapter& adapter) {
  for (const LoraModule& module : spec_.modules()) {
    if (adapter.magnitudes(module).empty()) continue;
    ASSIGN_OR_RETURN(const GgufTensor* weight, BaseTensor(file, module.layer, module.projection));
    DoraGains& gains = layers_[module.layer].gains[static_cast<size_t>(module.projection)];
    gains = DoraGains(*weight);
    UpdateGains(module);
    if (!gains.any_norm_is_zero()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(weight->name, ": a row of the base with the adapter is zero, and DoRA divides by its norm"));
  }
  return absl::OkStatus();
}

void AdaptedWeights::UpdateGains(const LoraModule& module) {
  Layer& layer = layers_[module.layer];
  DoraGains& gains = layer.gains[static_cast<size_t>(module.projection)];
  if (!gains.defined()) return;
  const auto a_offset = static_cast<int64_t>(module.a_offset), rank = static_cast<int64_t>(spec_.rank());
  gains.UpdateFrom({.a = Part(parameters_, a_offset, rank, module.in),
                    .product_a = Part(product_parameters_, a_offset, rank, module.in),
                    .b = Part(parameters_, static_cast<int64_t>(b_begin() + module.b_offset), rank, module.out),
                    .magnitudes = parameters_.narrow(0, static_cast<int64_t>(spec_.a_size() + module.b_offset / spec_.rank()),
                                                     module.out),
                    .scale = static_cast<double>(spec_.scale())},
                   layer.weights[static_cast<size_t>(module.projection)]);
}

void AdaptedWeights::ForEachLeading(absl::FunctionRef<void(uint64_t offset, uint64_t floats)> each) const {
  for (const LoraModule& module : spec_.modules()) {
    if (HasA(trained_)) each(module.a_offset, uint64_t{ranks_} * module.in);
  }
  for (const LoraModule& module : spec_.modules()) {
    if (HasB(trained_)) each(b_begin() + module.b_offset, uint64_t{ranks_} * module.out);
  }
}

void AdaptedWeights::TrainedChanged() {
  if (leading_.defined()) {
    const float* from = leading_.data_ptr<float>();
    float* values = parameters_.data_ptr<float>();
    ForEachLeading([&](uint64_t offset, uint64_t floats) {
      std::copy_n(from, floats, values + offset);
      from += floats;
    });
  }
  if (type_ != at::kFloat) product_parameters_.copy_(parameters_);
  for (const LoraModule& module : spec_.modules()) UpdateGains(module);
}

void AdaptedWeights::SetDropout(double probability, uint64_t seed) {
  dropout_ = probability;
  dropout_seed_ = seed;
}

std::span<float> AdaptedWeights::Trained() {
  if (leading_.defined()) return {leading_.data_ptr<float>(), static_cast<size_t>(leading_.numel())};
  // A, magnitudes and B lie so that those of any factors follow one another.
  return {parameters_.data_ptr<float>() + (HasA(trained_) ? 0 : spec_.a_size()),
          FloatsOf(spec_, trained_) + spec_.magnitudes_size()};
}

std::span<float> AdaptedWeights::Gradient() {
  return {gradient_.data_ptr<float>(), static_cast<size_t>(gradient_.numel())};
}

absl::StatusOr<Adapter> AdaptedWeights::ToAdapter() const {
  const float* values = parameters_.data_ptr<float>();
  const float* magnitudes = values + spec_.a_size();
  const float* b = values + b_begin();
  return Adapter::Create(spec_, std::vector<float>(values, magnitudes), std::vector<float>(b, b + spec_.b_size()),
                         std::vector<float>(magnitudes, b));
}

at::Tensor AdaptedWeights::Embed(const at::Tensor& tokens) const { return embedding_.Gather(tokens); }

LoraLinearArgs::Output AdaptedWeights::Output(uint32_t layer, Projection projection) const {
  const auto i = static_cast<size_t>(projection);
  LoraLinearArgs::Output output = {
      .weight = &layers_[layer].weights[i], .bias = layers_[layer].biases[i], .b = {}, .b_gradient = {}, .gains = {},
      .norms = {}, .magnitude_gradient = {}};
  const LoraModule* module = spec_.Find(layer, projection);
  if (module == nullptr) return output;
  const auto b_offset = static_cast<int64_t>(b_begin() + module->b_offset);
  output.b = Part(product_parameters_, b_offset, spec_.rank(), module->out);
  if (HasB(trained_)) {
    const uint64_t begin = Leading((HasA(trained_) ? spec_.a_size() : 0) + module->b_offset) + spec_.magnitudes_size();
    output.b_gradient = Part(gradient_, static_cast<int64_t>(begin), ranks_, module->out);
  }
  const DoraGains& gains = layers_[layer].gains[i];
  if (gains.defined()) {
    output.gains = gains.gains();
    output.norms = gains.norms();
    const uint64_t begin = (HasA(trained_) ? spec_.a_size() : 0) + module->b_offset / spec_.rank();
    output.magnitude_gradient = gradient_.narrow(0, static_cast<int64_t>(begin), module->out);
  }
  return output;
}

std::vector<at::Tensor> AdaptedWeights::Linear(uint32_t layer, std::span<const Projection> projections,
                                               const at::Tensor& x, Results results) const {
  LoraLinearArgs args = {
      .outputs = {},
      .a = {},
      .a_gradient = {},
      .scale = static_cast<double>(spec_.scale()),
      .dropout = dropout_,
      .dropout_seed =
          SplitMix64(dropout_seed_ + uint64_t{layer} * kNumProjections + static_cast<uint64_t>(projections[0])).Next(),
      .with_products = results == Results::kUsed};
  const LoraModule* first = nullptr;
  int64_t ranks = 0;
  for (const Projection projection : projections) {
    args.outputs.push_back(Output(layer, projection));
    const LoraModule* module = spec_.Find(layer, projection);
    if (module == nullptr) continue;
    if (first == nullptr) first = module;
    // Modules follow one another in the order of projections, so their A are stacked as they lie.
    CHECK(module->a_offset == first->a_offset + static_cast<uint64_t>(ranks) * module->in);
    ranks += spec_.rank();
  }
  if (first != nullptr) {
    const auto offset = static_cast<int64_t>(first->a_offset);
    args.a = Part(product_parameters_, offset, ranks, first->in);
    if (HasA(trained_)) {
      args.a_gradient = Part(gradient_, static_cast<int64_t>(Leading(first->a_offset)),
                             ranks / spec_.rank() * ranks_, first->in);
    }
  }
  return LoraLinear(x, std::move(args));
}

}  // namespace fleetune
