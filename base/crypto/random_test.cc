#include "base/crypto/random.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/hex.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

// The stream of the zero key is AES-256 of 0, 1, 2, ...: blocks 0 to 2 are H, E(Y0) and E(Y1) of test
// cases 13 and 14 in the GCM specification (McGrew, Viega: The Galois/Counter Mode of Operation).
TEST(AesCtrRandomTest, GivesThePublishedStream) {
  AesCtrRandom random({});
  Bytes bytes(48, 0xff);  // what was there does not matter
  random.Fill(bytes);
  EXPECT_EQ(ToHex(bytes),
            "dc95c078a2408989ad48a21492842087"
            "530f8afbc74536b9a963b4f1c4cb738b"
            "cea7403d4d606b6e074ec5d3baf39d18");
}

TEST(AesCtrRandomTest, PiecesGiveTheSameStream) {
  std::array<uint8_t, 32> key{};
  key[0] = 1;
  Bytes whole(1000);
  AesCtrRandom(key).Fill(whole);
  AesCtrRandom random(key);
  Bytes pieces;
  for (size_t size = 0; pieces.size() < whole.size(); ++size) {
    Bytes piece(std::min(size, whole.size() - pieces.size()));
    random.Fill(piece);
    pieces.insert(pieces.end(), piece.begin(), piece.end());
  }
  EXPECT_EQ(pieces, whole);
}

TEST(AesCtrRandomTest, EveryKeyHasItsStream) {
  std::array<uint8_t, 32> other{};
  other[31] = 1;
  EXPECT_NE(AesCtrRandom({}).NextU64(), AesCtrRandom(other).NextU64());
}

TEST(SecureRandomTest, DoesNotRepeat) {
  SecureRandom random;
  Bytes first(32);
  Bytes second(32);
  random.Fill(first);
  random.Fill(second);
  EXPECT_NE(first, second);
  random.Fill({});
}

}  // namespace
}  // namespace fleetune
