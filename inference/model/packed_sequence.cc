#include "inference/model/packed_sequence.h"

#include "base/check.h"
#include "base/status_macros.h"
#include "inference/model/append_check.h"
#include "inference/model/joint_pass.h"

namespace fleetune {

PackedSequence::PackedSequence(std::shared_ptr<const Model> model, std::shared_ptr<const PackedAdapter> adapter,
                               uint32_t max_tokens)
    : model_(std::move(model)), max_tokens_(max_tokens), pass_(*model_) {
  state_.adapter = std::move(adapter);
  state_.layers.assign(model_->shape().layers, KeyValueCache(model_->shape(), model_->cache_type()));
}

absl::Status PackedSequence::Check(std::span<const int32_t> tokens) const {
  return CheckAppend(model_->shape(), tokens, state_.position, max_tokens_);
}

absl::Status PackedSequence::Append(std::span<const int32_t> tokens, std::span<float> logits) {
  RETURN_IF_ERROR(Check(tokens));
  const size_t row = model_->shape().vocabulary;
  for (const OutputPart& part : PartsOf(row, tokens, logits, kPassTokens)) {
    const PackedPass::Part read = {.state = &state_, .tokens = part.tokens, .rows = part.output.size() / row};
    pass_.Read({&read, 1});
    pass_.Logits(part.output);
  }
  return absl::OkStatus();
}

absl::Status PackedSequence::AppendStates(std::span<const int32_t> tokens, std::span<float> states) {
  RETURN_IF_ERROR(Check(tokens));
  const size_t row = model_->shape().width;
  CHECK(states.size() == tokens.size() * row);
  for (const OutputPart& part : PartsOf(row, tokens, states, kPassTokens)) {
    const PackedPass::Part read = {.state = &state_, .tokens = part.tokens, .rows = part.tokens.size()};
    pass_.Read({&read, 1});
    pass_.States(part.output);
  }
  return absl::OkStatus();
}

void PackedSequence::KeepOnly(uint32_t position) {
  CHECK(position <= state_.position);
  state_.position = position;
  for (KeyValueCache& cache : state_.layers) cache.KeepOnly(position);
}

std::unique_ptr<Sequence> PackedSequence::Fork(uint32_t position) const {
  auto fork = std::make_unique<PackedSequence>(model_, nullptr, max_tokens_);
  fork->state_ = state_;
  fork->KeepOnly(position);
  return fork;
}

Bytes PackedSequence::Save() const {
  Bytes saved;
  saved.reserve(cache_bytes());
  for (const KeyValueCache& cache : state_.layers) cache.AppendTo(saved);
  return saved;
}

absl::Status PackedSequence::Load(uint32_t tokens, std::span<const uint8_t> saved) {
  CHECK(state_.position == 0);
  const uint64_t bytes = SavedBytes(model_->shape(), model_->cache_type(), tokens);
  RETURN_IF_ERROR(CheckLoad(tokens, max_tokens_, saved.size(), bytes));
  const uint64_t of_layer = bytes / state_.layers.size();
  for (KeyValueCache& cache : state_.layers) {
    cache.Load(saved.first(of_layer));
    saved = saved.subspan(of_layer);
  }
  state_.position = tokens;
  return absl::OkStatus();
}

uint64_t PackedSequence::SavedBytes(const LlamaShape& shape, TensorType cache_type, uint32_t tokens) {
  return KeyValueCache::SavedBytes(shape, cache_type, tokens) * shape.layers;
}

uint64_t PackedSequence::cache_bytes() const {
  uint64_t bytes = 0;
  for (const KeyValueCache& cache : state_.layers) bytes += cache.bytes();
  return bytes;
}

}  // namespace fleetune
