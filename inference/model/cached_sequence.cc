#include "inference/model/cached_sequence.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/status_macros.h"
#include "inference/kernels/blocks.h"
#include "inference/model/append_check.h"

namespace fleetune {
namespace {

// Tokens computed together: enough to dequantize weights seldom, few enough that activations stay in cache.
constexpr size_t kChunkTokens = 64;

void AddTo(std::span<float> x, std::span<const float> y) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

}  // namespace

CachedSequence::CachedSequence(std::shared_ptr<const Model> model, std::shared_ptr<const Adapter> adapter,
                               std::shared_ptr<const RowGains> gains, uint32_t max_tokens)
    : model_(std::move(model)),
      adapter_(std::move(adapter)),
      gains_(std::move(gains)),
      shape_(model_->shape()),
      weights_(model_->weights()),
      max_tokens_(max_tokens),
      rotation_(shape_),
      cache_(shape_.layers) {}

absl::Status CachedSequence::Check(std::span<const int32_t> tokens) const {
  return CheckAppend(shape_, tokens, position_, max_tokens_);
}

absl::Status CachedSequence::Append(std::span<const int32_t> tokens, std::span<float> logits) {
  RETURN_IF_ERROR(Check(tokens));
  for (const OutputPart& part : PartsOf(shape_.vocabulary, tokens, logits, kChunkTokens)) {
    const std::vector<float> x = ReadChunk(part.tokens);
    if (part.output.empty()) continue;
    const size_t wanted = part.output.size() / shape_.vocabulary;
    const std::span<const float> last = std::span<const float>(x).last(wanted * shape_.width);
    MultiplyByRows(weights_.output, Normalize(last, weights_.output_norm), part.output);
  }
  return absl::OkStatus();
}

absl::Status CachedSequence::AppendStates(std::span<const int32_t> tokens, std::span<float> states) {
  RETURN_IF_ERROR(Check(tokens));
  CHECK(states.size() == tokens.size() * shape_.width);
  for (const OutputPart& part : PartsOf(shape_.width, tokens, states, kChunkTokens)) {
    const std::vector<float> normalized = Normalize(ReadChunk(part.tokens), weights_.output_norm);
    std::copy(normalized.begin(), normalized.end(), part.output.begin());
  }
  return absl::OkStatus();
}

void CachedSequence::KeepOnly(uint32_t position) {
  CHECK(position <= position_);
  position_ = position;
  for (LayerCache& cache : cache_) {
    const size_t kept = size_t{position} * shape_.kv_heads * shape_.head_size;
    cache.keys.resize(kept);
    cache.values.resize(kept);
  }
}

std::unique_ptr<Sequence> CachedSequence::Fork(uint32_t position) const {
  auto fork = std::make_unique<CachedSequence>(*this);
  fork->KeepOnly(position);
  return fork;
}

Bytes CachedSequence::Save() const {
  Bytes saved;
  saved.reserve(cache_bytes());
  for (const LayerCache& cache : cache_) {
    for (const std::vector<float>* rows : {&cache.keys, &cache.values}) {
      const auto* bytes = reinterpret_cast<const uint8_t*>(rows->data());
      saved.insert(saved.end(), bytes, bytes + rows->size() * sizeof(float));
    }
  }
  return saved;
}

absl::Status CachedSequence::Load(uint32_t tokens, std::span<const uint8_t> saved) {
  CHECK(position_ == 0);
  const size_t floats = size_t{tokens} * shape_.kv_heads * shape_.head_size;
  RETURN_IF_ERROR(CheckLoad(tokens, max_tokens_, saved.size(), 2 * sizeof(float) * floats * shape_.layers));
  for (LayerCache& cache : cache_) {
    for (std::vector<float>* rows : {&cache.keys, &cache.values}) {
      rows->resize(floats);
      std::ranges::copy(saved.first(floats * sizeof(float)), reinterpret_cast<uint8_t*>(rows->data()));
      saved = saved.subspan(floats * sizeof(float));
    }
  }
  position_ = tokens;
  return absl::OkStatus();
}

uint64_t CachedSequence::cache_bytes() const {
  return SavedBytes(shape_, position_);
}

uint64_t CachedSequence::SavedBytes(const LlamaShape& shape, uint32_t tokens) {
  return uint64_t{2} * sizeof(float) * shape.layers * shape.kv_heads * shape.head_size * tokens;
}

std::vector<float> CachedSequence::ReadChunk(std::span<const int32_t> tokens) {
  std::vector<float> x = Embed(tokens);
  for (uint32_t layer = 0; layer < shape_.layers; ++layer) {
    AttentionBlock(layer, x);
    FeedForwardBlock(layer, x);
  }
  position_ += static_cast<uint32_t>(tokens.size());
  return x;
}

std::vector<float> CachedSequence::Embed(std::span<const int32_t> tokens) const {
  const WeightMatrix& embedding = weights_.embedding;
  const size_t row_bytes = embedding.data.size() / embedding.rows;
  std::vector<float> x(tokens.size() * shape_.width);
  for (size_t t = 0; t < tokens.size(); ++t) {
    Dequantize(embedding.type, embedding.data.subspan(static_cast<size_t>(tokens[t]) * row_bytes, row_bytes),
               std::span(x).subspan(t * shape_.width, shape_.width));
  }
  return x;
}

void CachedSequence::AttentionBlock(uint32_t layer, std::span<float> x) {
  const LayerWeights& w = weights_.layers[layer];
  const std::vector<float> h = Normalize(x, w.attention_norm);
  std::vector<float> q = Project(layer, Projection::kQ, w.q, w.q_bias, h);
  std::vector<float> k = Project(layer, Projection::kK, w.k, w.k_bias, h);
  const std::vector<float> v = Project(layer, Projection::kV, w.v, w.v_bias, h);

  const size_t tokens = x.size() / shape_.width;
  const size_t q_size = q.size() / tokens;
  const size_t kv_size = k.size() / tokens;
  for (size_t t = 0; t < tokens; ++t) {
    const uint32_t at = position_ + static_cast<uint32_t>(t);
    rotation_.Apply(at, std::span(q).subspan(t * q_size, q_size));
    rotation_.Apply(at, std::span(k).subspan(t * kv_size, kv_size));
  }
  LayerCache& cache = cache_[layer];
  cache.keys.insert(cache.keys.end(), k.begin(), k.end());
  cache.values.insert(cache.values.end(), v.begin(), v.end());

  std::vector<float> attended(q.size());
  std::vector<float> scores(position_ + tokens);
  for (size_t t = 0; t < tokens; ++t) {
    Attend(shape_, cache, position_ + static_cast<uint32_t>(t) + 1, std::span(q).subspan(t * q_size, q_size),
           scores, std::span(attended).subspan(t * q_size, q_size));
  }
  AddTo(x, Project(layer, Projection::kO, w.o, {}, attended));
}

void CachedSequence::FeedForwardBlock(uint32_t layer, std::span<float> x) const {
  const LayerWeights& w = weights_.layers[layer];
  const std::vector<float> h = Normalize(x, w.feed_forward_norm);
  std::vector<float> gate = Project(layer, Projection::kGate, w.gate, {}, h);
  const std::vector<float> up = Project(layer, Projection::kUp, w.up, {}, h);
  for (size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];  // SwiGLU
  AddTo(x, Project(layer, Projection::kDown, w.down, {}, gate));
}

std::vector<float> CachedSequence::Project(uint32_t layer, Projection projection, const WeightMatrix& w,
                                           std::span<const float> bias, std::span<const float> x) const {
  std::vector<float> y(x.size() / w.columns * w.rows);
  MultiplyByRows(w, x, y);
  const LoraModule* module = adapter_ == nullptr ? nullptr : adapter_->spec().Find(layer, projection);
  if (module != nullptr) AddAdapted(*module, x, y);
  const std::span<const float> gains = gains_ == nullptr ? std::span<const float>() : gains_->Find(layer, projection);
  for (size_t begin = 0; begin < y.size(); begin += w.rows) {
    const std::span<float> row = std::span(y).subspan(begin, w.rows);
    for (size_t i = 0; i < gains.size(); ++i) row[i] *= gains[i];
    if (!bias.empty()) AddTo(row, bias);
  }
  return y;
}

void CachedSequence::AddAdapted(const LoraModule& module, std::span<const float> x, std::span<float> y) const {
  const size_t tokens = x.size() / module.in;
  const uint32_t rank = adapter_->spec().rank();
  const std::span<const float> a = adapter_->a(module);
  const std::span<const float> b = adapter_->b(module);
  const WeightMatrix a_matrix = {.type = TensorType::kF32,
                                 .data = {reinterpret_cast<const uint8_t*>(a.data()), a.size_bytes()},
                                 .rows = rank,
                                 .columns = module.in};
  std::vector<float> ax(tokens * rank);
  MultiplyByRows(a_matrix, x, ax);
  for (size_t t = 0; t < tokens; ++t) {
    for (uint32_t r = 0; r < rank; ++r) {
      const float factor = adapter_->spec().scale() * ax[t * rank + r];
      const float* b_row = b.data() + size_t{r} * module.out;
      float* result = y.data() + t * module.out;
      for (size_t i = 0; i < module.out; ++i) result[i] += factor * b_row[i];
    }
  }
}

std::vector<float> CachedSequence::Normalize(std::span<const float> x, std::span<const float> weight) const {
  const size_t width = weight.size();
  std::vector<float> y(x.size());
  for (size_t begin = 0; begin < x.size(); begin += width) {
    double squares = 0;
    for (size_t i = 0; i < width; ++i)
      squares += static_cast<double>(x[begin + i]) * static_cast<double>(x[begin + i]);
    const double mean = squares / static_cast<double>(width);
    const float scale = static_cast<float>(1 / std::sqrt(mean + static_cast<double>(shape_.norm_epsilon)));
    for (size_t i = 0; i < width; ++i) y[begin + i] = x[begin + i] * scale * weight[i];
  }
  return y;
}

}  // namespace fleetune
