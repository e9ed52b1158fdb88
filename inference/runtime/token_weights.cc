#include "inference/runtime/token_weights.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/check.h"

namespace fleetune {
namespace {

// Bits of floats above 0 are ordered as these are. The upper half of them sorts weights up to 1 into buckets, 128 for each
// power of two.
constexpr size_t kBuckets = (std::bit_cast<uint32_t>(1.0f) >> 16) + 1;
size_t BucketOf(float weight) { return std::bit_cast<uint32_t>(weight) >> 16; }

struct Bucket {
  size_t tokens = 0;
  double weight = 0;
};

// What may still be kept.
struct Room {
  size_t tokens;
  double weight;
  bool IsLeft() const { return tokens > 0 && weight > 0; }
  bool IsLeftAfter(const Bucket& bucket) const { return tokens > bucket.tokens && weight > bucket.weight; }
};

// The likeliest until there is no room: all of the buckets that fit, and the first of the one that does not.
void Keep(std::vector<WeighedToken>& all, Room room) {
  std::vector<Bucket> buckets(kBuckets);
  for (const WeighedToken& one : all) {
    Bucket& bucket = buckets[BucketOf(one.weight)];
    ++bucket.tokens;
    bucket.weight += static_cast<double>(one.weight);
  }
  size_t edge = kBuckets;
  while (edge > 0 && room.IsLeftAfter(buckets[edge - 1])) {
    --edge;
    room.tokens -= buckets[edge].tokens;
    room.weight -= buckets[edge].weight;
  }
  if (edge == 0) return;
  --edge;
  std::vector<WeighedToken> at_edge;
  for (const WeighedToken& one : all) {
    if (BucketOf(one.weight) == edge) at_edge.push_back(one);
  }
  std::erase_if(all, [edge](const WeighedToken& one) { return BucketOf(one.weight) <= edge; });
  std::ranges::sort(at_edge, [](const WeighedToken& a, const WeighedToken& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
  });
  for (size_t i = 0; i < at_edge.size() && room.IsLeft(); ++i) {
    all.push_back(at_edge[i]);
    --room.tokens;
    room.weight -= static_cast<double>(at_edge[i].weight);
  }
}

double SumOf(std::span<const float> weights) {
  double sums[4] = {};  // beside one another
  const size_t whole = weights.size() / 4 * 4;
  for (size_t i = 0; i < whole; i += 4) {
    for (size_t j = 0; j < 4; ++j) sums[j] += static_cast<double>(weights[i + j]);
  }
  for (size_t i = whole; i < weights.size(); ++i) sums[0] += static_cast<double>(weights[i]);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

constexpr size_t kChunk = 1024;  // weights that are looked at one by one

}  // namespace

std::vector<WeighedToken> TokensWithWeight(std::span<const float> weights) {
  std::vector<WeighedToken> tokens;
  tokens.reserve(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    CHECK(weights[i] >= 0 && weights[i] <= 1);
    if (weights[i] > 0) tokens.push_back({.token = static_cast<int32_t>(i), .weight = weights[i]});
  }
  return tokens;
}

void KeepLikeliest(std::vector<WeighedToken>& tokens, size_t count) {
  CHECK(count > 0);
  Keep(tokens, {.tokens = count, .weight = std::numeric_limits<double>::infinity()});
}

void KeepShare(std::vector<WeighedToken>& tokens, double share) {
  CHECK(share > 0);
  double total = 0;
  for (const WeighedToken& one : tokens) total += static_cast<double>(one.weight);
  Keep(tokens, {.tokens = std::numeric_limits<size_t>::max(), .weight = share * total});
}

int32_t DrawToken(std::span<const float> weights, double unit) {
  std::vector<double> sums;
  double total = 0;
  for (size_t begin = 0; begin < weights.size(); begin += kChunk) {
    sums.push_back(SumOf(weights.subspan(begin, std::min(kChunk, weights.size() - begin))));
    total += sums.back();
  }
  CHECK(total > 0);
  double left = unit * total;
  size_t chunk = 0;
  while (chunk + 1 < sums.size() && left >= sums[chunk]) left -= sums[chunk++];
  for (size_t i = chunk * kChunk; i < weights.size(); ++i) {
    left -= static_cast<double>(weights[i]);
    if (left < 0) return static_cast<int32_t>(i);
  }
  // Rounding left a crumb, which falls to the last that has weight.
  size_t last = weights.size() - 1;
  while (weights[last] == 0) --last;
  return static_cast<int32_t>(last);
}

int32_t DrawToken(std::span<const WeighedToken> tokens, double unit) {
  CHECK(!tokens.empty());
  double total = 0;
  for (const WeighedToken& one : tokens) total += static_cast<double>(one.weight);
  double left = unit * total;
  for (const WeighedToken& one : tokens) {
    left -= static_cast<double>(one.weight);
    if (left < 0) return one.token;
  }
  return tokens.back().token;  // rounding left a crumb
}

}  // namespace fleetune
