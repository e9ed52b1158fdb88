#include "base/crypto/ed25519_batch.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/crypto/ed25519.h"
#include "base/crypto/ed25519_ifma512.h"
#include "base/crypto/openssl_handles.h"

namespace fleetune::ed25519 {
namespace {

using Scalar = std::array<uint8_t, 32>;  // little-endian

constexpr size_t kLanes = 8;

// The order of the base point, 2^252 + 27742317777372353535851937790883648493.
constexpr Scalar kOrder = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7,
                           0xa2, 0xde, 0xf9, 0xde, 0x14, 0,    0,    0,    0,    0,    0,
                           0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};

bool IsBelowOrder(std::span<const uint8_t, 32> scalar) {
  return std::lexicographical_compare(scalar.rbegin(), scalar.rend(), kOrder.rbegin(), kOrder.rend());
}

// SHA-512 of R, key and message, modulo the order (RFC 8032, section 5.1.7). Keeps what OpenSSL would make anew for
// each signature. Not thread-safe.
class Challenges {
 public:
  Challenges()
      : hash_(EVP_MD_CTX_new()),
        context_(BN_CTX_new()),
        number_(BN_new()),
        order_(BN_lebin2bn(kOrder.data(), static_cast<int>(kOrder.size()), nullptr)) {
    CHECK(hash_ != nullptr && context_ != nullptr && number_ != nullptr && order_ != nullptr);
    CHECK(EVP_DigestInit_ex(hash_.get(), EVP_sha512(), nullptr) == 1);
  }

  Scalar Of(const Claim& claim) {
    std::array<uint8_t, 64> digest;
    CHECK(EVP_DigestInit_ex(hash_.get(), nullptr, nullptr) == 1);
    CHECK(EVP_DigestUpdate(hash_.get(), claim.signature.data(), 32) == 1);
    CHECK(EVP_DigestUpdate(hash_.get(), claim.public_key.data(), claim.public_key.size()) == 1);
    CHECK(EVP_DigestUpdate(hash_.get(), claim.message.data(), claim.message.size()) == 1);
    CHECK(EVP_DigestFinal_ex(hash_.get(), digest.data(), nullptr) == 1);
    CHECK(BN_lebin2bn(digest.data(), static_cast<int>(digest.size()), number_.get()) != nullptr);
    CHECK(BN_nnmod(number_.get(), number_.get(), order_.get(), context_.get()) == 1);
    Scalar scalar;
    CHECK(BN_bn2lebinpad(number_.get(), scalar.data(), static_cast<int>(scalar.size())) ==
          static_cast<int>(scalar.size()));
    return scalar;
  }

 private:
  openssl::Hash hash_;
  openssl::BigNumberContext context_;
  openssl::BigNumber number_;
  openssl::BigNumber order_;
};

// Writes one lane of the digits of `scalar`, which is below 2^253: the last digit is at most 2.
void WriteDigits(std::span<const uint8_t, 32> scalar, size_t lane, int8_t (&digits)[ifma512::kScalarDigits][kLanes]) {
  int carry = 0;
  for (size_t i = 0; i < ifma512::kScalarDigits; ++i) {
    const int digit = (scalar[i / 2] >> (4 * (i % 2)) & 15) + carry;
    carry = digit > 7 ? 1 : 0;
    digits[i][lane] = static_cast<int8_t>(digit - 16 * carry);
  }
}

// Bit i: claim i is good beyond doubt. At most eight claims.
unsigned Accepted(std::span<const Claim> claims, Challenges& challenges) {
  ifma512::EdwardsLanes lanes = {};
  unsigned below_order = 0;
  for (size_t i = 0; i < claims.size(); ++i) {
    const std::span<const uint8_t, 32> s = claims[i].signature.last<32>();
    if (!IsBelowOrder(s)) continue;
    below_order |= 1u << i;
    WriteDigits(s, i, lanes.s);
    WriteDigits(challenges.Of(claims[i]), i, lanes.k);
    std::ranges::copy(claims[i].public_key, lanes.keys + 32 * i);
    std::ranges::copy(claims[i].signature.first<32>(), lanes.r + 32 * i);
  }
  return ifma512::VerifyEight(lanes) & below_order;
}

}  // namespace

std::vector<bool> AcceptEach(std::span<const Claim> claims) {
  CHECK(IsSupported(CurveKernel::kIfma512));
  Challenges challenges;
  std::vector<bool> accepted(claims.size());
  for (size_t first = 0; first < claims.size(); first += kLanes) {
    const std::span<const Claim> next = claims.subspan(first, std::min(kLanes, claims.size() - first));
    const unsigned lanes = Accepted(next, challenges);
    for (size_t i = 0; i < next.size(); ++i) accepted[first + i] = (lanes >> i & 1) != 0;
  }
  return accepted;
}

std::vector<bool> VerifyEach(std::span<const Claim> claims, CurveKernel kernel) {
  CHECK(IsSupported(kernel));
  std::vector<bool> verified =
      kernel == CurveKernel::kIfma512 ? AcceptEach(claims) : std::vector<bool>(claims.size());
  for (size_t i = 0; i < claims.size(); ++i) {
    if (!verified[i]) verified[i] = Verify(claims[i].public_key, claims[i].message, claims[i].signature);
  }
  return verified;
}

}  // namespace fleetune::ed25519
