#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "inference/gguf/llama_shape.h"
#include "inference/kernels/instruction_set.h"
#include "inference/kernels/lane_kernels.h"

namespace fleetune {

// Keys and values of one layer in halves, in blocks of 16 tokens as LaneKernels::attend reads them: those of a key-value head lie
// together, so that its queries read memory from one place on. Grows by blocks. Not thread-safe.
class HalfCache {
 public:
  explicit HalfCache(const LlamaShape& shape);

  // Of tokens `position` and on: a row of kv_heads * head_size floats each. Requires what is before to be there.
  void Append(uint32_t position, std::span<const float> keys, std::span<const float> values, InstructionSet set);

  // Forgets all tokens but the first `tokens`, which are in the cache.
  void KeepOnly(uint32_t tokens);

  // What it holds, added to `saved`; as many bytes as SavedBytes says of its tokens. Load takes the place of what is there
  // with it. Requires as many bytes as SavedBytes says of any number of tokens.
  void AppendTo(Bytes& saved) const;
  void Load(std::span<const uint8_t> saved);
  static uint64_t SavedBytes(const LlamaShape& shape, uint32_t tokens);

  uint64_t bytes() const { return of_heads_.size() * of_heads_.front().size() * sizeof(uint16_t); }

  // Causal attention of `tokens` tokens, `position` and on, which are in the cache: rows of heads * head_size floats in `q` and
  // `out`. In parts, to be computed in any order and beside one another: 0 .. AttentionParts(tokens) - 1.
  size_t AttentionParts(size_t tokens) const;
  void AttendPart(size_t part, uint32_t position, std::span<const float> q, InstructionSet set,
                  std::span<float> out) const;

 private:
  // Halves of one head's block: its keys, [element][token], then as many of its values, [token][element].
  size_t block_size() const { return 2 * size_t{head_size_} * kCacheBlock; }

  uint32_t heads_;
  uint32_t head_size_;
  std::vector<std::vector<uint16_t>> of_heads_;  // of each key-value head its blocks
};

}  // namespace fleetune
