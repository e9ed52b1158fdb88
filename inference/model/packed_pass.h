#pragma once

#include <memory>
#include <span>
#include <vector>

#include "inference/kernels/lane_kernels.h"
#include "inference/model/key_value_cache.h"
#include "inference/model/model.h"
#include "inference/model/packed_products.h"
#include "inference/model/rotation.h"
#include "inference/model/weights.h"

namespace fleetune {

// What a sequence over packed weights is between two passes.
struct PackedState {
  std::shared_ptr<const PackedAdapter> adapter;  // null: the base alone
  std::vector<KeyValueCache> layers;
  uint32_t position = 0;
};

// The forward pass of CachedSequence with packed weights: the same graph, int8 products, keys and values in F16 or
// Q8_0, on the model's workers; for tokens of one sequence or of several, each with its own keys, values and adapter. A
// token's result has the same bits whatever is computed beside it. Keeps its memory from one pass to the next. Not
// thread-safe.
class PackedPass {
 public:
  // Borrows the model. Requires packed weights.
  explicit PackedPass(const Model& model);

  struct Part {
    PackedState* state = nullptr;
    std::span<const int32_t> tokens;  // at least one, valid
    size_t rows = 0;                  // tokens at its end whose output is wanted
  };
  // Reads the tokens: states move on. Requires that no state is there twice.
  void Read(std::span<const Part> parts);

  // After Read, of the wanted tokens of all parts, one after another in the order of parts: the last layer's output, normalized
  // as the output matrix reads it; and the logits.
  void States(std::span<float> states);
  void Logits(std::span<float> logits);

 private:
  struct Placed {
    Part part;
    size_t first = 0;  // row of its first token
  };
  struct AttentionJob {
    const Placed* placed;
    size_t part;
  };
  void Place(std::span<const Part> parts);
  void Embed();
  void FindAngles();
  void AttentionBlock(uint32_t layer);
  void Attend(uint32_t layer);
  void FeedForwardBlock(uint32_t layer);
  void Normalize(std::span<const float> x, const std::vector<float>& weight);  // into normalized_
  void NormalizeWanted();
  void Rotate(std::span<float> rows, size_t row) const;
  // tokens_ rows of `size` floats: of `bias`, or zeros.
  void Start(std::vector<float>& rows, size_t size, const std::vector<float>& bias) const;

  const LlamaShape& shape_;
  const ModelWeights& weights_;
  const PackedWeights& packed_;
  const Compute compute_;
  const LaneKernels& lanes_;
  const Rotation rotation_;
  PackedProducts products_;

  // Of the tokens that are computed.
  size_t tokens_ = 0;
  std::vector<Placed> placed_;  // in the order of parts
  std::vector<AdaptedVectors> adapted_;
  std::vector<AttentionJob> attention_;
  std::vector<float> x_, normalized_, q_, k_, v_, attended_, gate_, up_, angles_, wanted_;
};

}  // namespace fleetune
