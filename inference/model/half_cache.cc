#include "inference/model/half_cache.h"

#include <algorithm>

#include "base/check.h"

namespace fleetune {
namespace {

// Tokens whose queries go through the cache together: each block of it is unpacked once for them.
constexpr size_t kTokensTogether = 16;

}  // namespace

HalfCache::HalfCache(const LlamaShape& shape)
    : heads_(shape.heads), head_size_(shape.head_size), of_heads_(shape.kv_heads) {}

void HalfCache::Append(uint32_t position, std::span<const float> keys, std::span<const float> values,
                       InstructionSet set) {
  const size_t row = of_heads_.size() * head_size_;
  CHECK(keys.size() % row == 0 && keys.size() == values.size());
  const size_t tokens = keys.size() / row;
  const size_t blocks = (position + tokens + kCacheBlock - 1) / kCacheBlock;
  for (std::vector<uint16_t>& head : of_heads_) head.resize(blocks * block_size());
  const LaneKernels& kernels = LaneKernelsOf(set);
  std::vector<uint16_t> key_halves(row);
  std::vector<uint16_t> value_halves(row);
  for (size_t t = 0; t < tokens; ++t) {
    kernels.to_halves(keys.data() + t * row, row, key_halves.data());
    kernels.to_halves(values.data() + t * row, row, value_halves.data());
    const size_t block = (position + t) / kCacheBlock * block_size();
    const size_t in_block = (position + t) % kCacheBlock;
    for (size_t head = 0; head < of_heads_.size(); ++head) {
      uint16_t* const out = of_heads_[head].data() + block;
      const uint16_t* const key = key_halves.data() + head * head_size_;
      for (size_t i = 0; i < head_size_; ++i) out[i * kCacheBlock + in_block] = key[i];
      std::copy_n(value_halves.data() + head * head_size_, head_size_,
                  out + block_size() / 2 + in_block * head_size_);
    }
  }
}

void HalfCache::KeepOnly(uint32_t tokens) {
  // What is left of a forgotten token in the last block is seen by no query.
  const size_t blocks = (size_t{tokens} + kCacheBlock - 1) / kCacheBlock;
  for (std::vector<uint16_t>& head : of_heads_) head.resize(blocks * block_size());
}

void HalfCache::AppendTo(Bytes& saved) const {
  for (const std::vector<uint16_t>& head : of_heads_) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(head.data());
    saved.insert(saved.end(), bytes, bytes + head.size() * sizeof(uint16_t));
  }
}

void HalfCache::Load(std::span<const uint8_t> saved) {
  const size_t of_each = saved.size() / of_heads_.size();
  for (std::vector<uint16_t>& head : of_heads_) {
    head.resize(of_each / sizeof(uint16_t));
    std::ranges::copy(saved.first(of_each), reinterpret_cast<uint8_t*>(head.data()));
    saved = saved.subspan(of_each);
  }
}

uint64_t HalfCache::SavedBytes(const LlamaShape& shape, uint32_t tokens) {
  const uint64_t blocks = (uint64_t{tokens} + kCacheBlock - 1) / kCacheBlock;
  return 2 * sizeof(uint16_t) * blocks * kCacheBlock * shape.kv_heads * shape.head_size;
}

size_t HalfCache::AttentionParts(size_t tokens) const {
  return (tokens + kTokensTogether - 1) / kTokensTogether * of_heads_.size();
}

void HalfCache::AttendPart(size_t part, uint32_t position, std::span<const float> q, InstructionSet set,
                           std::span<float> out) const {
  const size_t q_row = size_t{heads_} * head_size_;
  CHECK(q.size() % q_row == 0 && out.size() == q.size());
  const size_t tokens = q.size() / q_row;
  const size_t sharing = heads_ / of_heads_.size();
  const size_t kv_head = part % of_heads_.size();
  const size_t begin = part / of_heads_.size() * kTokensTogether;
  std::vector<AttentionQuery> queries;
  for (size_t t = begin; t < std::min(begin + kTokensTogether, tokens); ++t) {
    for (size_t head = kv_head * sharing; head < (kv_head + 1) * sharing; ++head) {
      const size_t at = t * q_row + head * head_size_;
      queries.push_back({.q = q.data() + at, .out = out.data() + at, .visible = position + t + 1});
    }
  }
  std::vector<float> scratch(AttentionScratch(head_size_, queries.size()));
  LaneKernelsOf(set).attend({.queries = queries.data(),
                             .count = queries.size(),
                             .head_size = head_size_,
                             .keys = of_heads_[kv_head].data(),
                             .values = of_heads_[kv_head].data() + block_size() / 2,
                             .stride = block_size(),
                             .scratch = scratch.data()});
}

}  // namespace fleetune
