#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/random.h"

namespace fleetune {

// Rounds numbers to one of their two neighbouring integers, up with a probability equal to the fraction, so that the
// mean error is zero. Borrows the source and draws 4 bytes of it a number, in bulk: the probability is right to 2^-32.
// Not thread-safe.
class StochasticRounder {
 public:
  explicit StochasticRounder(RandomSource& random) : random_(random) {}

  // Requires |number| < 2^31, or what comes back is unspecified. Up if a draw, uniform in [0, 2^32), lies below the
  // fraction. `still_needed`: how many numbers follow with this one, at least; bounds how much is drawn ahead.
  int32_t Round(double number, size_t still_needed) {
    auto below = static_cast<int64_t>(number);  // towards zero
    below -= static_cast<double>(below) > number ? 1 : 0;
    const double fraction = number - static_cast<double>(below);
    const bool up = static_cast<double>(Draw(still_needed)) < fraction * 0x1p32;
    return static_cast<int32_t>(below + (up ? 1 : 0));
  }

 private:
  uint32_t Draw(size_t still_needed) {
    if (next_ == filled_) Refill(still_needed);
    return draws_[next_++];
  }
  void Refill(size_t still_needed);

  RandomSource& random_;
  std::array<uint32_t, 4096> draws_;
  size_t next_ = 0;
  size_t filled_ = 0;
};

}  // namespace fleetune
