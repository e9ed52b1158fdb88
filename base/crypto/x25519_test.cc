#include "base/crypto/x25519.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/crypto/random.h"
#include "base/hex.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

std::array<uint8_t, 32> Raw32(std::string_view hex) {
  const Bytes bytes = *FromHex(hex);
  std::array<uint8_t, 32> raw{};
  std::copy(bytes.begin(), bytes.end(), raw.begin());
  return raw;
}

X25519Key KeyOf(std::string_view hex) { return X25519Key::FromSecret(Secret32(Raw32(hex))); }

std::string HexOf(const absl::StatusOr<Secret32>& secret) { return secret.ok() ? ToHex(secret->bytes()) : "refused"; }

// RFC 7748, section 5.2. The second point has its topmost bit set, which does not count.
TEST(X25519Test, GivesThePublishedVectors) {
  EXPECT_EQ(HexOf(KeyOf("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
                      .Agree(Raw32("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"))),
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
  EXPECT_EQ(HexOf(KeyOf("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d")
                      .Agree(Raw32("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"))),
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

// RFC 7748, section 5.2: k and u start as the base point; each step is (k, u) = (X25519(k, u), k).
TEST(X25519Test, GivesThePublishedIteratedVectors) {
  std::array<uint8_t, 32> k{9};
  std::array<uint8_t, 32> u{9};
  for (int i = 1; i <= 1000; ++i) {
    const auto agreed = X25519Key::FromSecret(Secret32(k)).Agree(u);
    ASSERT_THAT(agreed, IsOk());
    u = k;
    std::copy(agreed->bytes().begin(), agreed->bytes().end(), k.begin());
    if (i == 1) {
      EXPECT_EQ(ToHex(k), "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    }
  }
  EXPECT_EQ(ToHex(k), "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

constexpr char kAlice[] = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
constexpr char kBob[] = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";

// RFC 7748, section 6.1.
TEST(X25519Test, BothSidesAgreeOnThePublishedSecret) {
  const X25519Key alice = KeyOf(kAlice);
  const X25519Key bob = KeyOf(kBob);
  EXPECT_EQ(ToHex(alice.public_key()), "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  EXPECT_EQ(ToHex(bob.public_key()), "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  EXPECT_EQ(HexOf(alice.Agree(bob.public_key())), "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
  EXPECT_EQ(HexOf(bob.Agree(alice.public_key())), "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}

// With p = 2^255 - 19, every way to write a u of small order in 255 bits: 0 and p; 1 and p + 1; p - 1;
// and the two of order 8, which have no second way.
TEST(X25519Test, RefusesEveryPointOfSmallOrder) {
  SecureRandom random;
  const X25519Key key = X25519Key::Generate(random);
  for (const std::string_view hex : {"0000000000000000000000000000000000000000000000000000000000000000",
                                     "0100000000000000000000000000000000000000000000000000000000000000",
                                     "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                                     "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                                     "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                     "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                     "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    for (const uint8_t ignored_bit : {uint8_t{0}, uint8_t{0x80}}) {
      std::array<uint8_t, 32> point = Raw32(hex);
      point[31] |= ignored_bit;
      EXPECT_THAT(key.Agree(point), HasStatus(StatusCode::kInvalidArgument, "small order")) << hex;
      EXPECT_TRUE(IsSmallOrder(point)) << hex;
    }
  }
}

// The neighbours of what is refused are ordinary: u = 2 (on the twist or not) and the base point, u = 9.
TEST(X25519Test, TakesOrdinaryPoints) {
  SecureRandom random;
  const X25519Key key = X25519Key::Generate(random);
  EXPECT_THAT(key.Agree(Raw32("0200000000000000000000000000000000000000000000000000000000000000")), IsOk());
  EXPECT_THAT(key.Agree(Raw32("ebffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")), IsOk());
  const auto with_base = key.Agree(Raw32("0900000000000000000000000000000000000000000000000000000000000000"));
  EXPECT_EQ(HexOf(with_base), ToHex(key.public_key()));
}

// What OpenSSL refuses to agree with, and nothing else: at both ends of the numbers that have a second way to be
// written, a bit off each point of the list, and anywhere.
TEST(X25519Test, SmallOrderIsWhatNobodyCanAgreeWith) {
  SecureRandom random;
  const X25519Key key = X25519Key::Generate(random);
  std::vector<std::array<uint8_t, 32>> points;
  for (int low = 0; low < 256; ++low) {
    points.push_back({static_cast<uint8_t>(low)});
    points.emplace_back().fill(0xff);
    points.back()[0] = static_cast<uint8_t>(low);
  }
  for (const std::string_view hex : {"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                                     "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"}) {
    for (size_t bit = 0; bit < 256; ++bit) {
      points.push_back(Raw32(hex));
      points.back()[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    }
  }
  for (int i = 0; i < 100; ++i) random.Fill(points.emplace_back());
  size_t small = 0;
  for (const std::array<uint8_t, 32>& point : points) {
    EXPECT_EQ(IsSmallOrder(point), !key.Agree(point).ok()) << ToHex(point);
    small += IsSmallOrder(point) ? 1 : 0;
  }
  EXPECT_EQ(small, 7u);  // 0, 1, p - 1, p, p + 1, and the two with the bit that does not count
}

TEST(X25519Test, ComesBackFromItsSecret) {
  SecureRandom random;
  X25519Key key = X25519Key::Generate(random);
  EXPECT_EQ(X25519PublicKey(key.secret()), key.public_key());
  const X25519Key again = X25519Key::FromSecret(Secret32(key.secret().bytes()));
  EXPECT_TRUE(ConstantTimeEqual(again.secret().bytes(), key.secret().bytes()));
  EXPECT_EQ(again.public_key(), key.public_key());
  EXPECT_NE(X25519Key::Generate(random).public_key(), key.public_key());

  const X25519Key moved = std::move(key);
  EXPECT_EQ(moved.public_key(), again.public_key());
  EXPECT_TRUE(ConstantTimeEqual(key.secret().bytes(), Secret32().bytes()));  // NOLINT: it must be wiped
}

TEST(X25519Test, DrawsItsSecretFromTheSourceThatItIsGiven) {
  AesCtrRandom random({});
  AesCtrRandom same({});
  EXPECT_EQ(X25519Key::Generate(random).public_key(), X25519Key::Generate(same).public_key());
}

}  // namespace
}  // namespace fleetune
