#include "inference/model/key_value_cache.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "inference/kernels/blocks.h"

namespace fleetune {
namespace {

// Tokens whose queries go through the cache together: each block of it is unpacked once for them.
constexpr size_t kTokensTogether = 16;
constexpr size_t kMaxGroup = 32;
constexpr float kLargestHalf = 65504;

uint64_t BlocksOf(uint64_t tokens) { return (tokens + kCacheBlock - 1) / kCacheBlock; }

void WriteHalf(uint16_t half, uint8_t* at) { std::memcpy(at, &half, sizeof(half)); }

// Codes of a group, as Q8_0 rounds them; the result is their scale. What is not finite becomes a code all the same.
uint16_t ToCodes(const float* x, size_t size, int8_t* codes) {
  float largest = 0;
  for (size_t i = 0; i < size; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float scale = std::min(largest / 127, kLargestHalf);
  const float inverse = scale == 0 ? 0 : 1 / scale;
  for (size_t i = 0; i < size; ++i) {
    const float scaled = x[i] * inverse;
    const float bounded = scaled > 127 ? 127 : scaled >= -127 ? scaled : -127;
    codes[i] = static_cast<int8_t>((bounded + 0x1.8p23f) - 0x1.8p23f);  // to the nearest
  }
  return FloatToHalf(scale);
}

}  // namespace

KeyValueCache::KeyValueCache(const LlamaShape& shape, TensorType type)
    : heads_(shape.heads), layout_(CacheLayoutOf(type, shape.head_size)), of_heads_(shape.kv_heads) {}

void KeyValueCache::AppendHalves(size_t head, size_t token, const uint16_t* keys, const uint16_t* values) {
  uint8_t* const block = of_heads_[head].data() + token / kCacheBlock * layout_.bytes;
  const size_t in_block = token % kCacheBlock;
  const size_t size = layout_.head_size;
  for (size_t i = 0; i < size; ++i) WriteHalf(keys[i], block + (i * kCacheBlock + in_block) * sizeof(uint16_t));
  std::memcpy(block + layout_.values + in_block * size * sizeof(uint16_t), values, size * sizeof(uint16_t));
}

void KeyValueCache::AppendCodes(size_t head, size_t token, const float* keys, const float* values) {
  uint8_t* const block = of_heads_[head].data() + token / kCacheBlock * layout_.bytes;
  const size_t in_block = token % kCacheBlock;
  for (size_t group = 0; group < layout_.groups; ++group) {
    const size_t first = group * layout_.group;
    std::array<int8_t, kMaxGroup> codes;
    const uint16_t key_scale = ToCodes(keys + first, layout_.group, codes.data());
    for (size_t i = 0; i < layout_.group; ++i) {
      block[(first + i) * kCacheBlock + in_block] = static_cast<uint8_t>(codes[i]);
    }
    WriteHalf(key_scale, block + layout_.key_scales + (group * kCacheBlock + in_block) * sizeof(uint16_t));
    const uint16_t value_scale = ToCodes(values + first, layout_.group, codes.data());
    std::memcpy(block + layout_.values + in_block * layout_.head_size + first, codes.data(), layout_.group);
    WriteHalf(value_scale, block + layout_.value_scales + (in_block * layout_.groups + group) * sizeof(uint16_t));
  }
}

void KeyValueCache::Append(uint32_t position, std::span<const float> keys, std::span<const float> values,
                           InstructionSet set) {
  const size_t size = layout_.head_size;
  const size_t row = of_heads_.size() * size;
  CHECK(keys.size() % row == 0 && keys.size() == values.size());
  const size_t tokens = keys.size() / row;
  for (Bytes& head : of_heads_) head.resize(BlocksOf(position + tokens) * layout_.bytes);
  const LaneKernels& kernels = LaneKernelsOf(set);
  std::vector<uint16_t> key_halves(row);
  std::vector<uint16_t> value_halves(row);
  for (size_t t = 0; t < tokens; ++t) {
    const float* const key = keys.data() + t * row;
    const float* const value = values.data() + t * row;
    if (layout_.type == TensorType::kQ8_0) {
      for (size_t head = 0; head < of_heads_.size(); ++head) {
        AppendCodes(head, position + t, key + head * size, value + head * size);
      }
      continue;
    }
    kernels.to_halves(key, row, key_halves.data());
    kernels.to_halves(value, row, value_halves.data());
    for (size_t head = 0; head < of_heads_.size(); ++head) {
      AppendHalves(head, position + t, key_halves.data() + head * size, value_halves.data() + head * size);
    }
  }
}

void KeyValueCache::KeepOnly(uint32_t tokens) {
  // What is left of a forgotten token in the last block is seen by no query.
  for (Bytes& head : of_heads_) head.resize(BlocksOf(tokens) * layout_.bytes);
}

void KeyValueCache::AppendTo(Bytes& saved) const {
  for (const Bytes& head : of_heads_) saved.insert(saved.end(), head.begin(), head.end());
}

void KeyValueCache::Load(std::span<const uint8_t> saved) {
  const size_t of_each = saved.size() / of_heads_.size();
  for (Bytes& head : of_heads_) {
    head.assign(saved.begin(), saved.begin() + static_cast<ptrdiff_t>(of_each));
    saved = saved.subspan(of_each);
  }
}

uint64_t KeyValueCache::SavedBytes(const LlamaShape& shape, TensorType type, uint32_t tokens) {
  return BlocksOf(tokens) * CacheLayoutOf(type, shape.head_size).bytes * shape.kv_heads;
}

size_t KeyValueCache::AttentionParts(size_t tokens) const {
  return (tokens + kTokensTogether - 1) / kTokensTogether * of_heads_.size();
}

void KeyValueCache::AttendPart(size_t part, uint32_t position, std::span<const float> q, InstructionSet set,
                               std::span<float> out) const {
  const size_t q_row = size_t{heads_} * layout_.head_size;
  CHECK(q.size() % q_row == 0 && out.size() == q.size());
  const size_t tokens = q.size() / q_row;
  const size_t sharing = heads_ / of_heads_.size();
  const size_t kv_head = part % of_heads_.size();
  const size_t begin = part / of_heads_.size() * kTokensTogether;
  std::vector<AttentionQuery> queries;
  for (size_t t = begin; t < std::min(begin + kTokensTogether, tokens); ++t) {
    for (size_t head = kv_head * sharing; head < (kv_head + 1) * sharing; ++head) {
      const size_t at = t * q_row + head * layout_.head_size;
      queries.push_back({.q = q.data() + at, .out = out.data() + at, .visible = position + t + 1});
    }
  }
  std::vector<float> scratch(AttentionScratch(layout_, queries.size()));
  LaneKernelsOf(set).attend({.queries = queries.data(),
                             .count = queries.size(),
                             .layout = layout_,
                             .blocks = of_heads_[kv_head].data(),
                             .scratch = scratch.data()});
}

}  // namespace fleetune
