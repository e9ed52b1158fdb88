#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/random.h"

namespace fleetune {

// Every draw is the same byte. 0 rounds up whatever has a fraction, 0xff rounds down. Not thread-safe.
class FixedDraws final : public RandomSource {
 public:
  explicit FixedDraws(uint8_t byte) : byte_(byte) {}
  void Fill(std::span<uint8_t> bytes) override {
    filled_ += bytes.size();
    std::fill(bytes.begin(), bytes.end(), byte_);
  }
  size_t filled() const { return filled_; }

 private:
  uint8_t byte_;
  size_t filled_ = 0;
};

}  // namespace fleetune
