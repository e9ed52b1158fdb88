#include "inference/kernels/cache_layout.h"

#include <algorithm>
#include <cstdint>

#include "base/check.h"

namespace fleetune {
namespace {

constexpr size_t kGroup = 32;

}  // namespace

bool IsCacheType(TensorType type, size_t head_size) {
  if (type == TensorType::kF16) return true;
  return type == TensorType::kQ8_0 && (head_size <= kGroup || head_size % kGroup == 0);
}

CacheLayout CacheLayoutOf(TensorType type, size_t head_size) {
  CHECK(IsCacheType(type, head_size));
  CacheLayout layout = {.type = type, .head_size = head_size};
  const size_t elements = head_size * kCacheBlock;
  if (type == TensorType::kF16) {
    layout.values = elements * sizeof(uint16_t);
    layout.bytes = 2 * layout.values;
    return layout;
  }
  layout.group = std::min(kGroup, head_size);
  layout.groups = head_size / layout.group;
  layout.values = elements;
  layout.key_scales = 2 * elements;
  layout.value_scales = layout.key_scales + layout.groups * kCacheBlock * sizeof(uint16_t);
  layout.bytes = layout.value_scales + layout.groups * kCacheBlock * sizeof(uint16_t);
  return layout;
}

}  // namespace fleetune
