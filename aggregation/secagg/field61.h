#pragma once

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "base/random.h"

namespace fleetune::secagg {

// An element of GF(2^61 - 1), in which secrets are shared. The prime of Mersenne makes a reduction two
// shifts and two additions, and an element one 64-bit word.
//
// The value is always canonical, below kPrime. +, - and * take a time that does not depend on the values:
// no branch and no table. Immutable but for assignment; as thread-safe as an integer.
class Field61 {
 public:
  static constexpr uint64_t kPrime = (uint64_t{1} << 61) - 1;

  constexpr Field61() = default;  // zero

  // InvalidArgument unless value < kPrime: an element has one representation on the wire.
  static absl::StatusOr<Field61> FromU64(uint64_t value);

  // The residue of any value. Takes constant time.
  static constexpr Field61 Reduce(uint64_t value) {
    return Field61(SubtractPrimeOnce((value & kPrime) + (value >> 61)));
  }

  // The same of 128 bits: a sum of up to 64 products of values needs one reduction.
  static constexpr Field61 ReduceWide(unsigned __int128 value) {
    return Reduce((static_cast<uint64_t>(value) & kPrime) + (static_cast<uint64_t>(value >> 61) & kPrime) +
                  static_cast<uint64_t>(value >> 122));
  }

  // Uniform over the field: 61 random bits, again if they are all ones.
  static Field61 Random(RandomSource& random);

  constexpr uint64_t value() const { return value_; }

  friend constexpr Field61 operator+(Field61 a, Field61 b) { return Field61(SubtractPrimeOnce(a.value_ + b.value_)); }
  friend constexpr Field61 operator-(Field61 a, Field61 b) {
    return Field61(SubtractPrimeOnce(a.value_ + (kPrime - b.value_)));
  }
  friend constexpr Field61 operator*(Field61 a, Field61 b) {
    const auto product = static_cast<unsigned __int128>(a.value_) * b.value_;
    return Field61(SubtractPrimeOnce((static_cast<uint64_t>(product) & kPrime) + static_cast<uint64_t>(product >> 61)));
  }
  Field61& operator+=(Field61 other) { return *this = *this + other; }
  Field61& operator-=(Field61 other) { return *this = *this - other; }
  Field61& operator*=(Field61 other) { return *this = *this * other; }

  // The comparison itself may take a time that tells where they differ: for public values and for results
  // that become public.
  friend constexpr bool operator==(Field61, Field61) = default;

  // The time depends on `exponent`, which is public, not on the element. 0^0 is 1.
  Field61 Pow(uint64_t exponent) const;

  // The element that times this one is 1. Requires an element other than zero; checked.
  Field61 Inverse() const;

 private:
  explicit constexpr Field61(uint64_t canonical) : value_(canonical) {}

  // Requires sum <= 2 * kPrime - 1.
  static constexpr uint64_t SubtractPrimeOnce(uint64_t sum) {
    const uint64_t difference = sum - kPrime;
    const uint64_t all_ones_if_borrowed = uint64_t{0} - (difference >> 63);
    return difference + (kPrime & all_ones_if_borrowed);
  }

  uint64_t value_ = 0;
};

static_assert(sizeof(Field61) == sizeof(uint64_t));

// Replaces every element by its inverse, at the price of one inversion and three multiplications an element
// (Montgomery's trick). Requires that none is zero; checked.
void InvertAll(std::span<Field61> elements);

// Zeroes the elements in a way that no compiler leaves out.
void WipeElements(std::span<Field61> elements);

}  // namespace fleetune::secagg
