#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "aggregation/secagg/field61.h"
#include "base/crypto/secret.h"
#include "base/random.h"

namespace fleetune::secagg {

// Shamir's secret sharing over GF(2^61 - 1): any `threshold` shares give the secret, fewer say nothing of it.
//
// A secret of 256 bits, read as a little-endian number, is five limbs: limb i has the bits 52 i .. 52 i + 51, the last
// one the 48 bits from 208. Each limb is the constant of a polynomial of degree threshold - 1, and the share of
// seat s is the five values at x = s + 1.

inline constexpr size_t kSecretLimbs = 5;
inline constexpr int kLimbBits = 52;
inline constexpr int kLastLimbBits = 48;
static_assert(kLimbBits * (kSecretLimbs - 1) + kLastLimbBits == 256);

inline constexpr size_t kShareBytes = kSecretLimbs * sizeof(uint64_t);
inline constexpr uint32_t kMinThreshold = 2;  // a share must never be the secret itself
inline constexpr uint32_t kMaxSeats = 4096;   // seats are 0 .. kMaxSeats - 1

// One seat's part of a secret. Wiped when destroyed or moved from, never printed; copies are secrets too.
class Share {
 public:
  using Limbs = std::array<Field61, kSecretLimbs>;

  Share() = default;
  explicit Share(const Limbs& limbs) : limbs_(limbs) {}
  ~Share() { WipeElements(limbs_); }
  Share(const Share&) = default;
  Share& operator=(const Share&) = default;
  Share(Share&& other) noexcept;
  Share& operator=(Share&& other) noexcept;

  const Limbs& limbs() const { return limbs_; }

  // ParseShare in place: no copy to wipe. `share` is left as it is if it fails.
  static absl::Status ParseInto(std::span<const uint8_t> bytes, Share& share);

 private:
  Limbs limbs_{};
};

// A share and who holds it.
struct IndexedShare {
  uint32_t seat = 0;
  Share share;
};

// Five limbs as little-endian u64. The caller wipes the bytes.
std::array<uint8_t, kShareBytes> EncodeShare(const Share& share);

// InvalidArgument unless there are kShareBytes bytes and every limb is below 2^61 - 1: a share has one encoding.
absl::StatusOr<Share> ParseShare(std::span<const uint8_t> bytes);

// One share for each of `seats`, in their order. `random` must be unpredictable: it hides the secret. Time and memory
// accesses depend on the number of seats and on the threshold only. Wipes its coefficients.
//
// InvalidArgument unless kMinThreshold <= threshold <= seats.size(), and the seats are distinct and below kMaxSeats.
absl::StatusOr<std::vector<Share>> SplitSecret(const Secret32& secret, uint32_t threshold,
                                               std::span<const uint32_t> seats, RandomSource& random);

// The secret of which these are shares, in any order of seats. All are used: those beyond `threshold` must agree with
// the others. error_correction.h has the forms that get along with wrong ones.
//
// InvalidArgument unless kMinThreshold <= threshold <= shares.size(), and the seats are distinct and below kMaxSeats.
// DataLoss if the shares disagree, or are not those of any secret.
absl::StatusOr<Secret32> CombineShares(std::span<const IndexedShare> shares, uint32_t threshold);

// The secret of five limbs: DataLoss if one is longer than its bits. For the code that combines shares.
absl::StatusOr<Secret32> SecretFromLimbs(const Share::Limbs& limbs);

}  // namespace fleetune::secagg
