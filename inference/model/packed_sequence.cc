#include "inference/model/packed_sequence.h"

#include <algorithm>

#include "base/check.h"
#include "inference/kernels/blocks.h"
#include "inference/model/append_check.h"

namespace fleetune {
namespace {

// Tokens computed together: the weights are read once for them, and their activations stay in the second cache.
constexpr size_t kChunkTokens = 128;

}  // namespace

PackedSequence::PackedSequence(std::shared_ptr<const Model> model, const std::shared_ptr<const Adapter>& adapter,
                               uint32_t max_tokens)
    : model_(std::move(model)),
      shape_(model_->shape()),
      weights_(model_->weights()),
      packed_(*model_->packed_weights()),
      compute_(model_->compute()),
      lanes_(LaneKernelsOf(compute_.set)),
      max_tokens_(max_tokens),
      rotation_(shape_),
      products_(compute_, adapter == nullptr ? nullptr : std::make_shared<const PackedAdapter>(*adapter)),
      cache_(shape_.layers, HalfCache(shape_)) {}

PackedSequence::PackedSequence(const PackedSequence& origin, uint32_t position)
    : model_(origin.model_),
      shape_(origin.shape_),
      weights_(origin.weights_),
      packed_(origin.packed_),
      compute_(origin.compute_),
      lanes_(origin.lanes_),
      max_tokens_(origin.max_tokens_),
      rotation_(origin.rotation_),
      products_(origin.compute_, origin.products_.adapter()),
      cache_(origin.cache_),
      position_(position) {
  for (HalfCache& cache : cache_) cache.KeepOnly(position);
}

absl::Status PackedSequence::Append(std::span<const int32_t> tokens, std::span<float> logits) {
  if (absl::Status valid = CheckAppend(shape_, tokens, position_, max_tokens_); !valid.ok()) return valid;
  for (const OutputPart& part : PartsOf(shape_.vocabulary, tokens, logits, kChunkTokens)) {
    ReadChunk(part.tokens);
    if (part.output.empty()) continue;
    const size_t wanted = part.output.size() / shape_.vocabulary;
    Normalize(std::span<const float>(x_).last(wanted * shape_.width), weights_.output_norm);
    std::fill(part.output.begin(), part.output.end(), 0.0f);
    products_.AddPlain(*packed_.output, normalized_, part.output);
  }
  return absl::OkStatus();
}

absl::Status PackedSequence::AppendStates(std::span<const int32_t> tokens, std::span<float> states) {
  if (absl::Status valid = CheckAppend(shape_, tokens, position_, max_tokens_); !valid.ok()) return valid;
  CHECK(states.size() == tokens.size() * shape_.width);
  for (const OutputPart& part : PartsOf(shape_.width, tokens, states, kChunkTokens)) {
    ReadChunk(part.tokens);
    Normalize(x_, weights_.output_norm);
    std::copy(normalized_.begin(), normalized_.end(), part.output.begin());
  }
  return absl::OkStatus();
}

std::unique_ptr<Sequence> PackedSequence::Fork(uint32_t position) const {
  CHECK(position <= position_);
  return std::unique_ptr<Sequence>(new PackedSequence(*this, position));
}

uint64_t PackedSequence::cache_bytes() const {
  uint64_t bytes = 0;
  for (const HalfCache& cache : cache_) bytes += cache.bytes();
  return bytes;
}

void PackedSequence::ReadChunk(std::span<const int32_t> tokens) {
  tokens_ = tokens.size();
  Embed(tokens);
  angles_.resize(tokens_ * rotation_.angles_size());
  for (size_t t = 0; t < tokens_; ++t) {
    rotation_.Angles(position_ + static_cast<uint32_t>(t),
                     std::span(angles_).subspan(t * rotation_.angles_size(), rotation_.angles_size()));
  }
  for (uint32_t layer = 0; layer < shape_.layers; ++layer) {
    AttentionBlock(layer);
    FeedForwardBlock(layer);
  }
  position_ += static_cast<uint32_t>(tokens_);
}

void PackedSequence::Embed(std::span<const int32_t> tokens) {
  const WeightMatrix& embedding = weights_.embedding;
  const size_t row_bytes = embedding.data.size() / embedding.rows;
  x_.resize(tokens_ * shape_.width);
  for (size_t t = 0; t < tokens_; ++t) {
    Dequantize(embedding.type, embedding.data.subspan(static_cast<size_t>(tokens[t]) * row_bytes, row_bytes),
               std::span(x_).subspan(t * shape_.width, shape_.width));
  }
}

void PackedSequence::AttentionBlock(uint32_t layer) {
  const LayerWeights& w = weights_.layers[layer];
  const PackedLayerWeights& packed = packed_.layers[layer];
  const size_t q_row = size_t{shape_.heads} * shape_.head_size;
  const size_t kv_row = size_t{shape_.kv_heads} * shape_.head_size;
  Normalize(x_, w.attention_norm);
  Start(q_, q_row, w.q_bias);
  Start(k_, kv_row, w.k_bias);
  Start(v_, kv_row, w.v_bias);
  const ProjectionProduct into[] = {{.projection = Projection::kQ, .w = packed.q, .y = q_},
                                    {.projection = Projection::kK, .w = packed.k, .y = k_},
                                    {.projection = Projection::kV, .w = packed.v, .y = v_}};
  products_.Add(layer, normalized_, into);
  Rotate(q_, q_row);
  Rotate(k_, kv_row);
  cache_[layer].Append(position_, k_, v_, compute_.set);
  attended_.resize(q_.size());
  cache_[layer].Attend(position_, q_, compute_, attended_);
  const ProjectionProduct out = {.projection = Projection::kO, .w = packed.o, .y = x_};
  products_.Add(layer, attended_, {&out, 1});
}

void PackedSequence::FeedForwardBlock(uint32_t layer) {
  const PackedLayerWeights& packed = packed_.layers[layer];
  Normalize(x_, weights_.layers[layer].feed_forward_norm);
  Start(gate_, shape_.feed_forward, {});
  Start(up_, shape_.feed_forward, {});
  const ProjectionProduct into[] = {{.projection = Projection::kGate, .w = packed.gate, .y = gate_},
                                    {.projection = Projection::kUp, .w = packed.up, .y = up_}};
  products_.Add(layer, normalized_, into);
  const size_t row = shape_.feed_forward;
  RunParts(compute_, tokens_, [&](size_t t) { lanes_.swiglu(gate_.data() + t * row, up_.data() + t * row, row); });
  const ProjectionProduct out = {.projection = Projection::kDown, .w = packed.down, .y = x_};
  products_.Add(layer, gate_, {&out, 1});
}

void PackedSequence::Normalize(std::span<const float> x, const std::vector<float>& weight) {
  const size_t width = weight.size();
  normalized_.resize(x.size());
  RunParts(compute_, x.size() / width, [&](size_t t) {
    lanes_.normalize(x.data() + t * width, weight.data(), shape_.norm_epsilon, width, normalized_.data() + t * width);
  });
}

void PackedSequence::Rotate(std::span<float> rows, size_t row) const {
  const size_t angles = rotation_.angles_size();
  RunParts(compute_, tokens_, [&](size_t t) {
    rotation_.Turn(std::span(angles_).subspan(t * angles, angles), rows.subspan(t * row, row));
  });
}

void PackedSequence::Start(std::vector<float>& rows, size_t size, const std::vector<float>& bias) const {
  rows.assign(tokens_ * size, 0.0f);
  if (bias.empty()) return;
  for (size_t t = 0; t < tokens_; ++t) std::copy(bias.begin(), bias.end(), rows.begin() + static_cast<ptrdiff_t>(t * size));
}

}  // namespace fleetune
