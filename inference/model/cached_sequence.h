#pragma once

#include <memory>
#include <span>
#include <vector>

#include "inference/model/attention.h"
#include "inference/model/model.h"
#include "inference/model/rotation.h"
#include "inference/model/row_gains.h"
#include "inference/model/weights.h"

namespace fleetune {

// The forward pass in f32, with keys and values of all earlier tokens kept. The cache grows with the tokens.
class CachedSequence final : public Sequence {
 public:
  // Requires what Sequence::Start checks.
  CachedSequence(std::shared_ptr<const Model> model, std::shared_ptr<const Adapter> adapter,
                 std::shared_ptr<const RowGains> gains, uint32_t max_tokens);

  absl::Status Append(std::span<const int32_t> tokens, std::span<float> logits) override;
  absl::Status AppendStates(std::span<const int32_t> tokens, std::span<float> states) override;
  void KeepOnly(uint32_t position) override;
  std::unique_ptr<Sequence> Fork(uint32_t position) const override;
  Bytes Save() const override;
  absl::Status Load(uint32_t tokens, std::span<const uint8_t> saved) override;
  uint32_t position() const override { return position_; }
  uint64_t cache_bytes() const override;

  static uint64_t SavedBytes(const LlamaShape& shape, uint32_t tokens);

  // Errors of Append.
  absl::Status Check(std::span<const int32_t> tokens) const;

 private:
  std::vector<float> ReadChunk(std::span<const int32_t> tokens);  // the last layer's output
  std::vector<float> Embed(std::span<const int32_t> tokens) const;
  void AttentionBlock(uint32_t layer, std::span<float> x);
  void FeedForwardBlock(uint32_t layer, std::span<float> x) const;
  // gain * (W x + scale * B (A x)) + bias for each vector in x; a gain a row, of DoRA.
  std::vector<float> Project(uint32_t layer, Projection projection, const WeightMatrix& w,
                             std::span<const float> bias, std::span<const float> x) const;
  void AddAdapted(const LoraModule& module, std::span<const float> x, std::span<float> y) const;
  std::vector<float> Normalize(std::span<const float> x, std::span<const float> weight) const;

  const std::shared_ptr<const Model> model_;
  const std::shared_ptr<const Adapter> adapter_;  // may be null
  const std::shared_ptr<const RowGains> gains_;   // null: none
  const LlamaShape& shape_;
  const ModelWeights& weights_;
  const uint32_t max_tokens_;
  const Rotation rotation_;
  std::vector<LayerCache> cache_;
  uint32_t position_ = 0;
};

}  // namespace fleetune
