#pragma once

#include <cstddef>

#include "inference/gguf/gguf_file.h"

namespace fleetune {

// How keys and values of 16 tokens of one key-value head lie together in a cache.
//
//   F16    keys, halves, [element][token]; values, halves, [token][element]
//   Q8_0   keys, codes, [element][token]; values, codes, [token][element]; scales, halves, of the keys,
//          [group][token]; of the values, [token][group]. A group has 32 elements, or all of a smaller head; an
//          element is its code, -127 to 127, times its scale.
inline constexpr size_t kCacheBlock = 16;  // tokens

struct CacheLayout {
  TensorType type = TensorType::kF16;
  size_t head_size = 0;
  size_t group = 0;   // elements, of Q8_0
  size_t groups = 0;  // of a head
  // In bytes from the beginning of a block.
  size_t values = 0;
  size_t key_scales = 0;
  size_t value_scales = 0;
  size_t bytes = 0;  // of a block
};

// Whether heads of this size can be kept as `type`: F16 any, Q8_0 those of up to 32 elements, or of a multiple of 32.
bool IsCacheType(TensorType type, size_t head_size);
// Requires IsCacheType.
CacheLayout CacheLayoutOf(TensorType type, size_t head_size);

}  // namespace fleetune
