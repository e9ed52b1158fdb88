#include "inference/kernels/product.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "inference/kernels/blocks.h"

namespace fleetune {
namespace {

// A vector of the compiler's: its lanes never mix, so sums come out alike whatever the machine's width.
typedef float Lanes __attribute__((vector_size(64)));
constexpr size_t kLanes = 16;

constexpr size_t kTileRows = 4;     // rows of weights dequantized at a time
constexpr size_t kTileVectors = 4;  // accumulators of a 4 x 4 tile fill the registers of AVX-512

struct Tile {
  const float* weights;  // kTileRows rows of `padded` floats, zeros at the end
  const float* x;        // vectors of `padded` floats
  size_t padded;         // a multiple of kLanes
};

// In pairs, so that the additions do not wait for one another.
[[gnu::always_inline]] inline float SumOfLanes(const Lanes& lanes) {
  float sums[kLanes];
  std::memcpy(sums, &lanes, sizeof(lanes));
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  }
  return sums[0];
}

// sums[r * kVectors + t] = row r · vector t.
template <size_t kVectors>
[[gnu::always_inline]] inline void Dots(const Tile& tile, float* sums) {
  Lanes partial[kTileRows][kVectors] = {};
  for (size_t c = 0; c < tile.padded; c += kLanes) {
    Lanes x[kVectors];
    for (size_t t = 0; t < kVectors; ++t) std::memcpy(&x[t], tile.x + t * tile.padded + c, sizeof(Lanes));
    for (size_t r = 0; r < kTileRows; ++r) {
      Lanes w;
      std::memcpy(&w, tile.weights + r * tile.padded + c, sizeof(Lanes));
      for (size_t t = 0; t < kVectors; ++t) partial[r][t] += w * x[t];
    }
  }
  for (size_t r = 0; r < kTileRows; ++r) {
    for (size_t t = 0; t < kVectors; ++t) {
      sums[r * kVectors + t] = SumOfLanes(partial[r][t]);
    }
  }
}

// Compiled once per instruction set, chosen when the program starts. Sanitizers' start-up does not bear that.
#if defined(__x86_64__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]]
#endif
void DotsOfTile(const Tile& tile, bool four, float* sums) {
  four ? Dots<kTileVectors>(tile, sums) : Dots<1>(tile, sums);
}

}  // namespace

WeightMatrix MatrixOf(const GgufTensor& tensor) {
  return {.type = tensor.type, .data = tensor.data, .rows = tensor.rows, .columns = tensor.columns};
}

void MultiplyByRows(const WeightMatrix& w, std::span<const float> x, std::span<float> y) {
  CHECK(w.columns > 0 && w.columns % BlockElements(w.type) == 0);
  const size_t row_bytes = w.columns / BlockElements(w.type) * BlockBytes(w.type);
  CHECK(w.data.size() == w.rows * row_bytes);
  CHECK(x.size() % w.columns == 0);
  const size_t vectors = x.size() / w.columns;
  CHECK(y.size() == vectors * w.rows);

  const size_t padded = (w.columns + kLanes - 1) / kLanes * kLanes;
  std::vector<float> weights(kTileRows * padded);
  std::vector<float> padded_x;
  const float* vector_data = x.data();
  if (padded != w.columns) {
    padded_x.resize(vectors * padded);
    for (size_t t = 0; t < vectors; ++t) {
      std::copy_n(x.data() + t * w.columns, w.columns, padded_x.data() + t * padded);
    }
    vector_data = padded_x.data();
  }

  float sums[kTileRows * kTileVectors];
  for (size_t row = 0; row < w.rows; row += kTileRows) {
    const size_t rows = std::min(kTileRows, w.rows - row);
    for (size_t r = 0; r < rows; ++r) {
      Dequantize(w.type, w.data.subspan((row + r) * row_bytes, row_bytes),
                 {weights.data() + r * padded, w.columns});
    }
    for (size_t t = 0; t < vectors;) {
      const size_t count = t + kTileVectors <= vectors ? kTileVectors : 1;
      const Tile tile = {weights.data(), vector_data + t * padded, padded};
      DotsOfTile(tile, count == kTileVectors, sums);
      for (size_t r = 0; r < rows; ++r) {
        for (size_t i = 0; i < count; ++i) y[(t + i) * w.rows + row + r] = sums[r * count + i];
      }
      t += count;
    }
  }
}

}  // namespace fleetune
