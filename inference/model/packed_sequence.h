#pragma once

#include <memory>
#include <span>
#include <vector>

#include "inference/kernels/lane_kernels.h"
#include "inference/model/half_cache.h"
#include "inference/model/model.h"
#include "inference/model/packed_products.h"
#include "inference/model/rotation.h"
#include "inference/model/weights.h"

namespace fleetune {

// The forward pass of CachedSequence with packed weights: the same graph, int8 products, keys and values in halves, on the
// model's workers.
class PackedSequence final : public Sequence {
 public:
  // Requires what Sequence::Start checks, and packed weights. `adapter` may be null; it is copied into its packed form.
  PackedSequence(std::shared_ptr<const Model> model, const std::shared_ptr<const Adapter>& adapter,
                 uint32_t max_tokens);

  absl::Status Append(std::span<const int32_t> tokens, std::span<float> logits) override;
  absl::Status AppendStates(std::span<const int32_t> tokens, std::span<float> states) override;
  std::unique_ptr<Sequence> Fork(uint32_t position) const override;
  uint32_t position() const override { return position_; }
  uint64_t cache_bytes() const override;

 private:
  // What Fork gives: without the memory of the chunk that was computed last.
  PackedSequence(const PackedSequence& origin, uint32_t position);

  void ReadChunk(std::span<const int32_t> tokens);  // leaves the last layer's output in x_
  void Embed(std::span<const int32_t> tokens);
  void AttentionBlock(uint32_t layer);
  void FeedForwardBlock(uint32_t layer);
  void Normalize(std::span<const float> x, const std::vector<float>& weight);  // into normalized_
  void Rotate(std::span<float> rows, size_t row) const;
  // tokens_ rows of `size` floats: of `bias`, or zeros.
  void Start(std::vector<float>& rows, size_t size, const std::vector<float>& bias) const;

  const std::shared_ptr<const Model> model_;
  const LlamaShape& shape_;
  const ModelWeights& weights_;
  const PackedWeights& packed_;
  const Compute compute_;
  const LaneKernels& lanes_;
  const uint32_t max_tokens_;
  const Rotation rotation_;
  PackedProducts products_;
  std::vector<HalfCache> cache_;
  uint32_t position_ = 0;

  // Of the chunk that is computed.
  size_t tokens_ = 0;
  std::vector<float> x_, normalized_, q_, k_, v_, attended_, gate_, up_, angles_;
};

}  // namespace fleetune
