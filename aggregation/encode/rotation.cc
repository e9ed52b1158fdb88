#include "aggregation/encode/rotation.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>

#include "aggregation/encode/walsh_hadamard.h"
#include "base/crypto/random.h"

namespace fleetune {
namespace {

constexpr size_t kSignBytes = 4096;  // fetched at a time

enum class Pass : size_t { kFirst = 0, kLast = 1 };

// The signs of one pass, eight a byte. A pass begins where the one before it ends.
class Signs {
 public:
  Signs(const RotationSeed& seed, Pass pass, size_t block) : stream_(seed) {
    // Reading the signs of the first pass to drop them costs little beside the transform.
    for (size_t skip = BytesOf(block) * static_cast<size_t>(pass); skip > 0;) {
      const size_t piece = std::min(skip, bytes_.size());
      stream_.Fill(std::span(bytes_).first(piece));
      skip -= piece;
    }
  }

  // Multiplies each value by its sign and by `factor`.
  void Apply(std::span<float> values, float factor) {
    for (; !values.empty();) {
      const size_t piece = std::min(values.size(), 8 * bytes_.size());
      stream_.Fill(std::span(bytes_).first(BytesOf(piece)));
      ApplyPiece(values.first(piece), factor);
      values = values.subspan(piece);
    }
  }

 private:
  static size_t BytesOf(size_t signs) { return (signs + 7) / 8; }

  void ApplyPiece(std::span<float> values, float factor) const {
    // Four factors for each value of four bits: a table look-up, where shifting out single bits would not vectorise.
    float factors[16][4];
    for (size_t bits = 0; bits < 16; ++bits) {
      for (size_t k = 0; k < 4; ++k) factors[bits][k] = (bits >> k & 1) != 0 ? -factor : factor;
    }
    const size_t whole = values.size() / 8 * 8;
    for (size_t i = 0; i < whole; i += 8) {
      const uint8_t byte = bytes_[i / 8];
      const float* const low = factors[byte & 15];
      const float* const high = factors[byte >> 4];
      for (size_t k = 0; k < 4; ++k) values[i + k] *= low[k];
      for (size_t k = 0; k < 4; ++k) values[i + 4 + k] *= high[k];
    }
    for (size_t i = whole; i < values.size(); ++i) values[i] *= factors[bytes_[i / 8] >> (i % 8) & 1][0];
  }

  AesCtrRandom stream_;
  std::array<uint8_t, kSignBytes> bytes_;
};

float Normalizer(size_t block) { return static_cast<float>(1 / std::sqrt(static_cast<double>(block))); }

}  // namespace

void Rotate(std::span<float> values, const RotationSeed& seed) {
  if (values.empty()) return;
  const size_t block = std::bit_floor(values.size());
  const auto pass = [&](std::span<float> part, Pass which) {
    Signs(seed, which, block).Apply(part, Normalizer(block));
    WalshHadamard(part);
  };
  pass(values.first(block), Pass::kFirst);
  if (values.size() > block) pass(values.last(block), Pass::kLast);
}

void RotateBack(std::span<float> values, const RotationSeed& seed) {
  if (values.empty()) return;
  const size_t block = std::bit_floor(values.size());
  const auto unpass = [&](std::span<float> part, Pass which) {
    WalshHadamard(part);
    Signs(seed, which, block).Apply(part, Normalizer(block));
  };
  if (values.size() > block) unpass(values.last(block), Pass::kLast);
  unpass(values.first(block), Pass::kFirst);
}

}  // namespace fleetune
