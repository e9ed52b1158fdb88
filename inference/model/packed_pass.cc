#include "inference/model/packed_pass.h"

#include <algorithm>

#include "base/check.h"
#include "inference/kernels/blocks.h"

namespace fleetune {

PackedPass::PackedPass(const Model& model)
    : shape_(model.shape()),
      weights_(model.weights()),
      packed_(*model.packed_weights()),
      compute_(model.compute()),
      lanes_(LaneKernelsOf(compute_.set)),
      rotation_(shape_),
      products_(compute_) {}

void PackedPass::Read(std::span<const Part> parts) {
  Place(parts);
  Embed();
  FindAngles();
  for (uint32_t layer = 0; layer < shape_.layers; ++layer) {
    AttentionBlock(layer);
    FeedForwardBlock(layer);
  }
  for (Placed& placed : placed_) placed.part.state->position += static_cast<uint32_t>(placed.part.tokens.size());
}

void PackedPass::Place(std::span<const Part> parts) {
  placed_.clear();
  for (const Part& part : parts) placed_.push_back({.part = part});
  // Tokens of one adapter lie together.
  std::vector<Placed*> order;
  for (Placed& placed : placed_) order.push_back(&placed);
  const auto adapter = [](const Placed* placed) { return placed->part.state->adapter.get(); };
  std::stable_sort(order.begin(), order.end(),
                   [&](const Placed* a, const Placed* b) { return std::less<>()(adapter(a), adapter(b)); });
  tokens_ = 0;
  adapted_.clear();
  attention_.clear();
  for (Placed* placed : order) {
    placed->first = tokens_;
    const size_t count = placed->part.tokens.size();
    if (!adapted_.empty() && adapted_.back().adapter == adapter(placed)) {
      adapted_.back().count += count;
    } else if (adapter(placed) != nullptr) {
      adapted_.push_back({.adapter = adapter(placed), .first = tokens_, .count = count});
    }
    const size_t jobs = placed->part.state->layers.front().AttentionParts(count);
    for (size_t job = 0; job < jobs; ++job) attention_.push_back({.placed = placed, .part = job});
    tokens_ += count;
  }
}

void PackedPass::Embed() {
  const WeightMatrix& embedding = weights_.embedding;
  const size_t row_bytes = embedding.data.size() / embedding.rows;
  x_.resize(tokens_ * shape_.width);
  for (const Placed& placed : placed_) {
    for (size_t t = 0; t < placed.part.tokens.size(); ++t) {
      const auto token = static_cast<size_t>(placed.part.tokens[t]);
      const std::span<float> x = std::span(x_).subspan((placed.first + t) * shape_.width, shape_.width);
      if (shape_.tied_output) {  // one matrix, which memory is to hold once
        UnpackRow(*packed_.output, token, x);
      } else {
        Dequantize(embedding.type, embedding.data.subspan(token * row_bytes, row_bytes), x);
      }
    }
  }
}

void PackedPass::FindAngles() {
  const size_t size = rotation_.angles_size();
  angles_.resize(tokens_ * size);
  for (const Placed& placed : placed_) {
    for (size_t t = 0; t < placed.part.tokens.size(); ++t) {
      rotation_.Angles(placed.part.state->position + static_cast<uint32_t>(t),
                       std::span(angles_).subspan((placed.first + t) * size, size));
    }
  }
}

void PackedPass::AttentionBlock(uint32_t layer) {
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
  products_.Add(layer, normalized_, adapted_, into);
  Rotate(q_, q_row);
  Rotate(k_, kv_row);
  Attend(layer);
  const ProjectionProduct out = {.projection = Projection::kO, .w = packed.o, .y = x_};
  products_.Add(layer, attended_, adapted_, {&out, 1});
}

void PackedPass::Attend(uint32_t layer) {
  const size_t q_row = size_t{shape_.heads} * shape_.head_size;
  const size_t kv_row = size_t{shape_.kv_heads} * shape_.head_size;
  RunParts(compute_, placed_.size(), [&](size_t i) {
    const Part& part = placed_[i].part;
    const size_t begin = placed_[i].first * kv_row;
    const size_t size = part.tokens.size() * kv_row;
    part.state->layers[layer].Append(part.state->position, std::span(k_).subspan(begin, size),
                                     std::span(v_).subspan(begin, size), compute_.set);
  });
  attended_.resize(q_.size());
  RunParts(compute_, attention_.size(), [&](size_t i) {
    const Placed& placed = *attention_[i].placed;
    const PackedState& state = *placed.part.state;
    const size_t begin = placed.first * q_row;
    const size_t size = placed.part.tokens.size() * q_row;
    state.layers[layer].AttendPart(attention_[i].part, state.position, std::span(q_).subspan(begin, size), compute_.set,
                                   std::span(attended_).subspan(begin, size));
  });
}

void PackedPass::FeedForwardBlock(uint32_t layer) {
  const PackedLayerWeights& packed = packed_.layers[layer];
  Normalize(x_, weights_.layers[layer].feed_forward_norm);
  Start(gate_, shape_.feed_forward, {});
  Start(up_, shape_.feed_forward, {});
  const ProjectionProduct into[] = {{.projection = Projection::kGate, .w = packed.gate, .y = gate_},
                                    {.projection = Projection::kUp, .w = packed.up, .y = up_}};
  products_.Add(layer, normalized_, adapted_, into);
  const size_t row = shape_.feed_forward;
  RunParts(compute_, tokens_, [&](size_t t) { lanes_.swiglu(gate_.data() + t * row, up_.data() + t * row, row); });
  const ProjectionProduct out = {.projection = Projection::kDown, .w = packed.down, .y = x_};
  products_.Add(layer, gate_, adapted_, {&out, 1});
}

void PackedPass::States(std::span<float> states) {
  NormalizeWanted();
  CHECK(states.size() == normalized_.size());
  std::copy(normalized_.begin(), normalized_.end(), states.begin());
}

void PackedPass::Logits(std::span<float> logits) {
  NormalizeWanted();
  CHECK(logits.size() == normalized_.size() / shape_.width * shape_.vocabulary);
  if (logits.empty()) return;
  std::fill(logits.begin(), logits.end(), 0.0f);
  products_.AddPlain(*packed_.output, normalized_, logits);
}

void PackedPass::NormalizeWanted() {
  wanted_.clear();
  for (const Placed& placed : placed_) {
    const size_t end = placed.first + placed.part.tokens.size();
    const auto rows = std::span<const float>(x_).subspan((end - placed.part.rows) * shape_.width,
                                                         placed.part.rows * shape_.width);
    wanted_.insert(wanted_.end(), rows.begin(), rows.end());
  }
  Normalize(wanted_, weights_.output_norm);
}

void PackedPass::Normalize(std::span<const float> x, const std::vector<float>& weight) {
  const size_t width = weight.size();
  normalized_.resize(x.size());
  RunParts(compute_, x.size() / width, [&](size_t t) {
    lanes_.normalize(x.data() + t * width, weight.data(), shape_.norm_epsilon, width, normalized_.data() + t * width);
  });
}

void PackedPass::Rotate(std::span<float> rows, size_t row) const {
  const size_t angles = rotation_.angles_size();
  RunParts(compute_, tokens_, [&](size_t t) {
    rotation_.Turn(std::span(angles_).subspan(t * angles, angles), rows.subspan(t * row, row));
  });
}

void PackedPass::Start(std::vector<float>& rows, size_t size, const std::vector<float>& bias) const {
  rows.assign(tokens_ * size, 0.0f);
  if (bias.empty()) return;
  for (size_t t = 0; t < tokens_; ++t) std::copy(bias.begin(), bias.end(), rows.begin() + static_cast<ptrdiff_t>(t * size));
}

}  // namespace fleetune
