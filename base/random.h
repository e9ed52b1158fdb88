#pragma once

#include <cstdint>
#include <span>

#include "base/check.h"

namespace fleetune {

// Where random bytes come from; passed in, so that a test or a simulation owns
// them. base/crypto/random.h has the operating system's and a keyed stream.
class RandomSource {
 public:
  virtual ~RandomSource() = default;
  virtual void Fill(std::span<uint8_t> bytes) = 0;

  uint64_t NextU64() {
    uint8_t raw[8];
    Fill(raw);
    uint64_t value = 0;
    for (int i = 7; i >= 0; --i) value = value << 8 | raw[i];
    return value;
  }

  // Uniform in [0, bound), without bias. Requires bound > 0; checked.
  uint64_t Below(uint64_t bound) {
    CHECK(bound > 0);
    const uint64_t reject_from = UINT64_MAX - UINT64_MAX % bound;
    for (;;) {
      const uint64_t value = NextU64();
      if (value < reject_from) return value % bound;
    }
  }
};

// SplitMix64 (Steele, Lea, Flood 2014): fast, reproducible everywhere, and no
// secret. For shared initial weights, shuffles and simulations only.
class SplitMix64 final : public RandomSource {
 public:
  explicit SplitMix64(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  void Fill(std::span<uint8_t> bytes) override {
    for (size_t i = 0; i < bytes.size(); i += 8) {
      const uint64_t value = Next();
      for (size_t j = 0; j < 8 && i + j < bytes.size(); ++j) {
        bytes[i + j] = static_cast<uint8_t>(value >> (8 * j));
      }
    }
  }

  // Uniform in [0, 1) with 53 bits.
  double NextUnit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

 private:
  uint64_t state_;
};

}  // namespace fleetune
