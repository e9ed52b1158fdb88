#include "aggregation/privacy/exact_coin.h"

#include <span>

#include "base/check.h"

namespace fleetune {
namespace {

// exp(-g) for g in [0, 1]: go on from step n to n + 1 with probability g / n; the parity of the step at which it
// ends is the coin, for 1 - g + g^2/2 - g^3/6 ... = exp(-g). g / n is two coins, g and 1 / n, so that
// nothing is divided or rounded. `goes_on` is the coin of g.
template <typename GoesOn>
bool OddStepAtEnd(RandomWords& words, GoesOn goes_on) {
  for (uint64_t step = 1;; ++step) {
    if ((step > 1 && words.Below(step) != 0) || !goes_on()) return step % 2 == 1;
  }
}

}  // namespace

RandomWords::~RandomWords() {
  volatile uint64_t* words = words_.data();  // volatile: a compiler drops a store that nobody reads
  for (size_t i = 0; i < kBlockWords; ++i) words[i] = 0;
}

void RandomWords::Refill() {
  source_.Fill({reinterpret_cast<uint8_t*>(words_.data()), sizeof(words_)});
  next_ = 0;
}

uint64_t RandomWords::Below(uint64_t bound) {
  CHECK(bound > 0);
  const uint64_t unfair_from = -bound % bound;  // 2^64 mod bound
  for (;;) {
    // Lemire 2019: the high word is uniform once the few unfair low words are left out.
    const Uint128 product = static_cast<Uint128>(Next()) * bound;
    if (static_cast<uint64_t>(product) >= unfair_from) return static_cast<uint64_t>(product >> 64);
  }
}

bool Coin(Uint128 fraction, RandomWords& words) {
  const uint64_t high = static_cast<uint64_t>(fraction >> 64);
  const uint64_t word = words.Next();
  if (word != high) return word < high;
  return words.Next() < static_cast<uint64_t>(fraction);  // once in 2^64
}

bool CoinExpMinusOne(RandomWords& words) {
  return OddStepAtEnd(words, [] { return true; });
}

bool CoinExpMinus(Uint128 fraction, RandomWords& words) {
  return OddStepAtEnd(words, [fraction, &words] { return Coin(fraction, words); });
}

}  // namespace fleetune
