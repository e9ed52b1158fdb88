#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "inference/gguf/llama_shape.h"

namespace fleetune {

// The keys and values of one layer, a row of kv_heads * head_size floats a token.
struct LayerCache {
  std::vector<float> keys;
  std::vector<float> values;
};

// Causal attention of one token over the first `visible` tokens of the cache (its own included):
// softmax(q k / sqrt(head_size)) v for each head; heads / kv_heads neighbouring heads share one key-value head.
// `q` and `out` have heads * head_size floats; `scores` is scratch of at least `visible`. All checked.
void Attend(const LlamaShape& shape, const LayerCache& cache, uint32_t visible, std::span<const float> q,
            std::span<float> scores, std::span<float> out);

}  // namespace fleetune
