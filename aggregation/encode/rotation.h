#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace fleetune {

// A seeded orthonormal map of a vector of any length d, which makes every vector flat: its energy is spread over all
// coordinates, so that few bits a coordinate hold it and none sticks out.
//
// With P the largest power of two that is at most d, a *pass* over P neighbouring elements flips signs at random and
// applies the Walsh-Hadamard transform H / sqrt(P). The first pass covers the first P elements; if d > P, a second one
// with signs of its own covers the last P. The passes overlap, so nothing is padded and d numbers stay d numbers.
//
// Norm: signs and H / sqrt(P) are orthonormal, and a pass leaves the other elements alone, so each pass and the whole
// are orthonormal. Distances in L2 are unchanged, thus also the clip norm and the L2 sensitivity that privacy is
// computed from. In floats a length is off by a factor within 1 +- kRotationRelativeError.
//
// Flatness: for *every* x that was chosen without knowing the seed, the last pass that touches a coordinate makes it a
// sum of at most P numbers with independent random signs, the squares of which add up to at most |x|^2 / P. Hoeffding:
//     P[|y_i| > t |x| / sqrt(P)] <= 2 exp(-t^2 / 2),  so  max |y_i| <= |x| sqrt(2 ln(2d / p) / P)
// but with probability p. Since d < 2P, that is within sqrt(d / P) < sqrt(2) of what a uniformly random direction
// has, about sqrt(2 ln d / d). One pass a region is enough for that; a third would only even out the energy between
// the ends (where d is close to 2P and all of x lies in one half), for half as much time again. A single spike comes
// out at most as high as |x| sqrt(2 ln(2d / p) / P), and exactly flat, 1 / sqrt(P), where one pass touches it.
//
// The signs are the keystream of AES-256-CTR under the seed, bit by bit from the lowest. The same bits come out on x86
// and ARM: floats are only added, subtracted and multiplied, in an order that does not depend on the machine.
using RotationSeed = std::array<uint8_t, 32>;  // public: it only has to be drawn after the vectors' author is fixed

// Of the L2 norm, per call, for d up to kMaxEncodedValues: 28 additions and one factor a pass, each at most 2^-24.
inline constexpr double kRotationRelativeError = 2 * 30 * 0x1p-24;

// Rotates in place. Values must be finite, and |values| sqrt(P) within a float; not checked.
// Thread-safe. Allocates nothing that grows with d.
void Rotate(std::span<float> values, const RotationSeed& seed);

// The inverse, and the transpose: RotateBack(Rotate(x)) is x but for rounding.
void RotateBack(std::span<float> values, const RotationSeed& seed);

}  // namespace fleetune
