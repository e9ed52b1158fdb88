#include "lora/train/adapted_weights.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "inference/kernels/blocks.h"
#include "lora/train/lora_linear.h"

namespace fleetune {
namespace {

// Models that take less than this in f32 are dequantized once.
constexpr uint64_t kKeptFloats = (uint64_t{64} << 20) / sizeof(float);

constexpr std::array<const char*, kNumProjections> kParts = {"attn_q",   "attn_k",   "attn_v",  "attn_output",
                                                             "ffn_gate", "ffn_up",   "ffn_down"};

absl::StatusOr<const GgufTensor*> Find(const GgufFile& file, const std::string& name) {
  const GgufTensor* tensor = file.FindTensor(name);
  if (tensor == nullptr) return absl::InvalidArgumentError(absl::StrCat(name, ": the model lacks this tensor"));
  if (!CanDequantize(tensor->type)) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": training over weights of type ",
                                                   std::string(TensorTypeName(tensor->type)), " is not supported"));
  }
  return tensor;
}

ProjectionSizes SizesOfProjection(const LlamaShape& shape, Projection projection) {
  const uint32_t query = shape.heads * shape.head_size;
  const uint32_t key = shape.kv_heads * shape.head_size;
  switch (projection) {
    case Projection::kQ: return {shape.width, query};
    case Projection::kK:
    case Projection::kV: return {shape.width, key};
    case Projection::kO: return {query, shape.width};
    case Projection::kGate:
    case Projection::kUp: return {shape.width, shape.feed_forward};
    case Projection::kDown: return {shape.feed_forward, shape.width};
  }
  return {};
}

}  // namespace

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
                                                                       const Adapter& adapter, Factors trained) {
  std::unique_ptr<AdaptedWeights> weights(new AdaptedWeights(adapter.spec(), trained));
  RETURN_IF_ERROR(weights->LoadBase(file, shape));
  weights->LoadAdapter(adapter);
  return weights;
}

absl::Status AdaptedWeights::LoadBase(const GgufFile& file, const LlamaShape& shape) {
  uint64_t floats = 0;
  for (const GgufTensor& tensor : file.tensors()) floats += tensor.rows * tensor.columns;
  const bool keep = floats <= kKeptFloats;

  ASSIGN_OR_RETURN(const GgufTensor* embedding, Find(file, "token_embd.weight"));
  ASSIGN_OR_RETURN(const GgufTensor* norm, Find(file, "output_norm.weight"));
  embedding_ = FrozenMatrix(*embedding, keep);
  output_norm_ = ReadFloats(*norm);
  output_ = embedding_;
  if (!shape.tied_output) {
    ASSIGN_OR_RETURN(const GgufTensor* output, Find(file, "output.weight"));
    output_ = FrozenMatrix(*output, keep);
  }
  layers_.resize(shape.layers);
  for (uint32_t index = 0; index < shape.layers; ++index) {
    Layer& layer = layers_[index];
    for (size_t i = 0; i < kNumProjections; ++i) {
      ASSIGN_OR_RETURN(const GgufTensor* weight, Find(file, BlockTensorName(index, kParts[i])));
      layer.weights[i] = FrozenMatrix(*weight, keep);
      if (!shape.qkv_bias || i > static_cast<size_t>(Projection::kV)) continue;
      ASSIGN_OR_RETURN(const GgufTensor* bias, Find(file, BlockTensorName(index, kParts[i], "bias")));
      layer.biases[i] = ReadFloats(*bias);
    }
    ASSIGN_OR_RETURN(const GgufTensor* attention_norm, Find(file, BlockTensorName(index, "attn_norm")));
    ASSIGN_OR_RETURN(const GgufTensor* feed_forward_norm, Find(file, BlockTensorName(index, "ffn_norm")));
    layer.attention_norm = ReadFloats(*attention_norm);
    layer.feed_forward_norm = ReadFloats(*feed_forward_norm);
  }
  return absl::OkStatus();
}

void AdaptedWeights::LoadAdapter(const Adapter& adapter) {
  parameters_ = at::empty({static_cast<int64_t>(FloatsOf(spec_, Factors::kBoth))}, at::kFloat);
  gradient_ = at::zeros({static_cast<int64_t>(FloatsOf(spec_, trained_))}, at::kFloat);
  float* values = parameters_.data_ptr<float>();
  std::copy(adapter.a().begin(), adapter.a().end(), values);
  std::copy(adapter.b().begin(), adapter.b().end(), values + spec_.a_size());
  for (const LoraModule& module : spec_.modules()) {
    const auto i = static_cast<size_t>(module.projection);
    layers_[module.layer].a[i] = Parameter(module.a_offset, spec_.rank(), module.in, HasA(trained_));
    layers_[module.layer].b[i] = Parameter(spec_.a_size() + module.b_offset, spec_.rank(), module.out, HasB(trained_));
  }
}

// A leaf of the graph that shares memory with the flat parameters, its gradient with the flat gradient.
at::Tensor AdaptedWeights::Parameter(uint64_t offset, int64_t rows, int64_t columns, bool trained) const {
  const auto begin = static_cast<int64_t>(offset);
  at::Tensor leaf = parameters_.narrow(0, begin, rows * columns).view({rows, columns}).detach();
  if (!trained) return leaf;
  leaf.requires_grad_(true);
  const auto first = static_cast<int64_t>(FirstTrained());
  leaf.mutable_grad() = gradient_.narrow(0, begin - first, rows * columns).view({rows, columns});
  return leaf;
}

void AdaptedWeights::SetDropout(double probability, uint64_t seed) {
  dropout_ = probability;
  dropout_seed_ = seed;
}

std::span<float> AdaptedWeights::Trained() {
  return {parameters_.data_ptr<float>() + FirstTrained(), FloatsOf(spec_, trained_)};
}

std::span<float> AdaptedWeights::Gradient() {
  return {gradient_.data_ptr<float>(), static_cast<size_t>(gradient_.numel())};
}

absl::StatusOr<Adapter> AdaptedWeights::ToAdapter() const {
  const float* values = parameters_.data_ptr<float>();
  const float* b = values + spec_.a_size();
  return Adapter::Create(spec_, std::vector<float>(values, b), std::vector<float>(b, b + spec_.b_size()));
}

at::Tensor AdaptedWeights::Embed(const at::Tensor& tokens) const { return embedding_.Gather(tokens); }

at::Tensor AdaptedWeights::Linear(uint32_t layer_index, Projection projection, const at::Tensor& x) const {
  const Layer& layer = layers_[layer_index];
  const auto i = static_cast<size_t>(projection);
  const uint64_t module = uint64_t{layer_index} * kNumProjections + i;
  const at::Tensor y = LoraLinear(x, {.weight = &layer.weights[i],
                                      .a = layer.a[i],
                                      .b = layer.b[i],
                                      .scale = static_cast<double>(spec_.scale()),
                                      .dropout = dropout_,
                                      .dropout_seed = SplitMix64(dropout_seed_ + module).Next()});
  return layer.biases[i].defined() ? y + layer.biases[i] : y;
}

}  // namespace fleetune
