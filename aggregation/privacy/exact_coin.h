#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "aggregation/privacy/wide_fixed_point.h"
#include "base/random.h"

namespace fleetune {

// 64-bit words of a random source, drawn in blocks of kBlockWords because a source is virtual and a coin is
// not. What is left of the last block is thrown away (and wiped: it is as secret as the noise). Borrows the
// source. Not thread-safe.
class RandomWords {
 public:
  static constexpr size_t kBlockWords = 512;

  explicit RandomWords(RandomSource& source) : source_(source) {}
  ~RandomWords();
  RandomWords(const RandomWords&) = delete;
  RandomWords& operator=(const RandomWords&) = delete;

  uint64_t Next() {
    if (next_ == kBlockWords) Refill();
    return words_[next_++];
  }

  // Uniform in [0, bound), without bias. Requires bound > 0; checked.
  uint64_t Below(uint64_t bound);

 private:
  void Refill();

  RandomSource& source_;
  std::array<uint64_t, kBlockWords> words_{};
  size_t next_ = kBlockWords;
};

// Coins whose probability is exact, from comparisons of integers alone (von Neumann 1951; Canonne, Kamath and
// Steinke, "The Discrete Gaussian for Differential Privacy", 2020, section 5.1). The time they take depends on
// how they fall: on the random words, not on any input of a person.

// True with probability `fraction` (Q128).
bool Coin(Uint128 fraction, RandomWords& words);

// True with probability exp(-1).
bool CoinExpMinusOne(RandomWords& words);

// True with probability exp(-fraction), fraction in [0, 1) as Q128.
bool CoinExpMinus(Uint128 fraction, RandomWords& words);

}  // namespace fleetune
