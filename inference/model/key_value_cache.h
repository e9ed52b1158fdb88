#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "inference/gguf/llama_shape.h"
#include "inference/kernels/cache_layout.h"
#include "inference/kernels/instruction_set.h"
#include "inference/kernels/lane_kernels.h"

namespace fleetune {

// Keys and values of one layer in F16 or Q8_0, in blocks of 16 tokens as LaneKernels::attend reads them: those of a
// key-value head lie together, so that its queries read memory from one place on. Grows by blocks. Not thread-safe.
class KeyValueCache {
 public:
  // Requires IsCacheType of `type` and the shape's heads.
  KeyValueCache(const LlamaShape& shape, TensorType type);

  // Of tokens `position` and on: a row of kv_heads * head_size floats each. Requires what is before to be there.
  void Append(uint32_t position, std::span<const float> keys, std::span<const float> values, InstructionSet set);

  // Forgets all tokens but the first `tokens`, which are in the cache.
  void KeepOnly(uint32_t tokens);

  // What it holds, added to `saved`; as many bytes as SavedBytes says of its tokens. Load takes the place of what is
  // there with it. Requires as many bytes as SavedBytes says of any number of tokens.
  void AppendTo(Bytes& saved) const;
  void Load(std::span<const uint8_t> saved);
  static uint64_t SavedBytes(const LlamaShape& shape, TensorType type, uint32_t tokens);

  uint64_t bytes() const { return of_heads_.size() * of_heads_.front().size(); }

  // Causal attention of `tokens` tokens, `position` and on, which are in the cache: rows of heads * head_size floats in
  // `q` and `out`. In parts, to be computed in any order and beside one another: 0 .. AttentionParts(tokens) - 1.
  size_t AttentionParts(size_t tokens) const;
  void AttendPart(size_t part, uint32_t position, std::span<const float> q, InstructionSet set,
                  std::span<float> out) const;

 private:
  void AppendHalves(size_t head, size_t token, const uint16_t* keys, const uint16_t* values);
  void AppendCodes(size_t head, size_t token, const float* keys, const float* values);

  uint32_t heads_;
  CacheLayout layout_;
  std::vector<Bytes> of_heads_;  // of each key-value head its blocks
};

}  // namespace fleetune
