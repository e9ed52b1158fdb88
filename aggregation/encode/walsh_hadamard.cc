#include "aggregation/encode/walsh_hadamard.h"

#include <bit>
#include <cstddef>
#include <cstring>

#include "base/check.h"

namespace fleetune {
namespace {

// Four floats: SSE2 and NEON have exactly these. Written out, since g++ -O2 vectorises no loop whose length it does not
// know.
using Four = float __attribute__((vector_size(16)));

// As much as lies in the first-level cache beside other things (16 KiB).
constexpr size_t kCacheBlock = 4096;

Four Load(const float* from) {
  Four value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
void Store(Four value, float* to) { std::memcpy(to, &value, sizeof value); }

// The transform of four neighbours. a + 1 * b and a + -1 * b are a + b and a - b to the bit.
Four WithinFour(Four x) {
  x = __builtin_shufflevector(x, x, 1, 0, 3, 2) + x * Four{1, -1, 1, -1};
  return __builtin_shufflevector(x, x, 2, 3, 0, 1) + x * Four{1, 1, -1, -1};
}

void Butterfly(Four& a, Four& b) {
  const Four sum = a + b;
  b = a - b;
  a = sum;
}

// The transform across x[0], x[1], x[2], x[3].
void AcrossFour(Four (&x)[4]) {
  Butterfly(x[0], x[1]);
  Butterfly(x[2], x[3]);
  Butterfly(x[0], x[2]);
  Butterfly(x[1], x[3]);
}

void TransformSixteen(float* x) {
  Four rows[4];
  for (size_t k = 0; k < 4; ++k) rows[k] = WithinFour(Load(x + 4 * k));
  AcrossFour(rows);
  for (size_t k = 0; k < 4; ++k) Store(rows[k], x + 4 * k);
}

// Joins four transforms of `quarter` elements each, or two of `half`, into one. Multiples of 4.
void JoinFour(float* x, size_t quarter) {
  for (size_t i = 0; i < quarter; i += 4) {
    Four rows[4];
    for (size_t k = 0; k < 4; ++k) rows[k] = Load(x + i + k * quarter);
    AcrossFour(rows);
    for (size_t k = 0; k < 4; ++k) Store(rows[k], x + i + k * quarter);
  }
}

void JoinTwo(float* x, size_t half) {
  for (size_t i = 0; i < half; i += 4) {
    Four a = Load(x + i);
    Four b = Load(x + i + half);
    Butterfly(a, b);
    Store(a, x + i);
    Store(b, x + i + half);
  }
}

void TransformTiny(float* x, size_t size) {
  for (size_t half = 1; half < size; half *= 2) {
    for (size_t i = 0; i < size; ++i) {
      if ((i & half) != 0) continue;
      const float a = x[i];
      const float b = x[i + half];
      x[i] = a + b;
      x[i + half] = a - b;
    }
  }
}

// Size by size, all of it in the cache. Requires at least 16 elements.
void TransformInCache(float* x, size_t size) {
  for (size_t i = 0; i < size; i += 16) TransformSixteen(x + i);
  size_t done = 16;
  for (; 4 * done <= size; done *= 4) {
    for (size_t i = 0; i < size; i += 4 * done) JoinFour(x + i, done);
  }
  if (done < size) JoinTwo(x, done);
}

// Quarter by quarter, so that each level of cache is passed twice in as many steps as it has room for.
void Transform(float* x, size_t size) {
  if (size <= kCacheBlock) return TransformInCache(x, size);
  const size_t quarter = size / 4;
  for (size_t k = 0; k < 4; ++k) Transform(x + k * quarter, quarter);
  JoinFour(x, quarter);
}

}  // namespace

void WalshHadamard(std::span<float> x) {
  CHECK(std::has_single_bit(x.size()));
  if (x.size() < 16) return TransformTiny(x.data(), x.size());
  Transform(x.data(), x.size());
}

}  // namespace fleetune
