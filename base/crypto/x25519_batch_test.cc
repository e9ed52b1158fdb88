#include "base/crypto/x25519_batch.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/crypto/random.h"
#include "base/hex.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using Point = std::array<uint8_t, 32>;

Point Raw32(std::string_view hex) {
  const Bytes bytes = *FromHex(hex);
  Point raw{};
  std::copy(bytes.begin(), bytes.end(), raw.begin());
  return raw;
}

X25519Key KeyOf(const Point& secret) { return X25519Key::FromSecret(Secret32(secret)); }

std::string HexOf(const absl::StatusOr<Secret32>& secret) { return secret.ok() ? ToHex(secret->bytes()) : "refused"; }

// Every kernel that this machine has.
class X25519BatchTest : public testing::TestWithParam<CurveKernel> {
 protected:
  void SetUp() override {
    if (!IsSupported(GetParam())) GTEST_SKIP() << "this processor lacks the instructions";
  }
  std::vector<absl::StatusOr<Secret32>> Each(const X25519Key& key, std::span<const Point> points) const {
    return AgreeWithEach(key, points, GetParam());
  }
  // Agree of each, one after the other, is the reference.
  void ExpectAsAgree(const X25519Key& key, std::span<const Point> points) const {
    const std::vector<absl::StatusOr<Secret32>> agreed = Each(key, points);
    ASSERT_EQ(agreed.size(), points.size());
    for (size_t i = 0; i < points.size(); ++i) {
      const absl::StatusOr<Secret32> expected = key.Agree(points[i]);
      ASSERT_EQ(agreed[i].status(), expected.status()) << ToHex(points[i]);
      ASSERT_EQ(HexOf(agreed[i]), HexOf(expected)) << ToHex(key.secret().bytes()) << " and " << ToHex(points[i]);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Kernels, X25519BatchTest, testing::Values(CurveKernel::kOpenssl, CurveKernel::kIfma512),
                         [](const auto& kernel) { return kernel.param == CurveKernel::kIfma512 ? "Ifma512" : "Openssl"; });

// RFC 7748, section 5.2, in every lane, among others.
TEST_P(X25519BatchTest, GivesThePublishedVectorsInEveryLane) {
  const struct {
    const char *secret, *point, *agreed;
  } vectors[] = {{"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                  "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                  "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
                 {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                  "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
                  "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"}};
  AesCtrRandom random({});
  for (const auto& vector : vectors) {
    const X25519Key key = KeyOf(Raw32(vector.secret));
    for (size_t lane = 0; lane < 8; ++lane) {
      std::vector<Point> points(8);
      for (Point& point : points) random.Fill(point);
      points[lane] = Raw32(vector.point);
      EXPECT_EQ(HexOf(Each(key, points)[lane]), vector.agreed) << lane;
    }
  }
}

// RFC 7748, section 5.2: k and u start as the base point; each step is (k, u) = (X25519(k, u), k).
TEST_P(X25519BatchTest, GivesThePublishedIteratedVectors) {
  Point k{9};
  Point u{9};
  for (int i = 1; i <= 1000; ++i) {
    const std::vector<Point> points(8, u);
    const std::vector<absl::StatusOr<Secret32>> agreed = Each(KeyOf(k), points);
    u = k;
    for (const absl::StatusOr<Secret32>& one : agreed) {
      ASSERT_THAT(one, IsOk());
      ASSERT_EQ(HexOf(one), HexOf(agreed[0]));
    }
    std::ranges::copy(agreed[0]->bytes(), k.begin());
    if (i == 1) {
      EXPECT_EQ(ToHex(k), "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    }
  }
  EXPECT_EQ(ToHex(k), "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

TEST_P(X25519BatchTest, AgreesWithRandomKeys) {
  AesCtrRandom random({});
  std::vector<Point> points(256);
  for (int round = 0; round < 20; ++round) {
    for (Point& point : points) random.Fill(point);  // half of them on the twist, half with the bit that does not count
    ExpectAsAgree(X25519Key::Generate(random), points);
  }
}

TEST_P(X25519BatchTest, AnyNumberOfPeers) {
  AesCtrRandom random({});
  const X25519Key key = X25519Key::Generate(random);
  std::vector<Point> points(33);
  for (Point& point : points) random.Fill(point);
  for (const size_t count : {0, 1, 2, 7, 8, 9, 15, 16, 17, 33}) ExpectAsAgree(key, std::span(points).first(count));
}

// Numbers at which carries run through all limbs, at which p is taken away or not, and which are written with all bits.
std::vector<Point> EdgePoints() {
  std::vector<Point> points;
  for (int low = 0; low < 256; ++low) {
    for (const int fill : {0x00, 0xff}) {
      for (const int top : {0x00, 0x7f, 0x80, 0xff}) {
        Point& point = points.emplace_back();
        point.fill(static_cast<uint8_t>(fill));
        point[0] = static_cast<uint8_t>(low);
        point[31] = static_cast<uint8_t>(top);
      }
    }
  }
  // One bit, and all but one: the edges of 51-bit limbs are among them.
  for (size_t bit = 0; bit < 256; ++bit) {
    Point& one = points.emplace_back();
    one[bit / 8] = static_cast<uint8_t>(1 << (bit % 8));
    Point& others = points.emplace_back();
    others.fill(0xff);
    others[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
  // A limb of ones between limbs of zeros.
  for (size_t limb = 0; limb < 5; ++limb) {
    Point& point = points.emplace_back();
    for (size_t bit = 51 * limb; bit < 51 * (limb + 1); ++bit) point[bit / 8] |= static_cast<uint8_t>(1 << (bit % 8));
  }
  return points;
}

TEST_P(X25519BatchTest, AgreesWithEveryEdge) {
  AesCtrRandom random({});
  const std::vector<Point> points = EdgePoints();
  ExpectAsAgree(X25519Key::Generate(random), points);
  // Secrets of all bits and of none: those that count are set and cleared anyway.
  Point secret;
  secret.fill(0xff);
  ExpectAsAgree(KeyOf(secret), points);
  secret.fill(0);
  ExpectAsAgree(KeyOf(secret), points);
}

// Every way to write a u of small order: refused in its lane, in no other.
TEST_P(X25519BatchTest, RefusesPointsOfSmallOrderInEveryLane) {
  AesCtrRandom random({});
  const X25519Key key = X25519Key::Generate(random);
  for (const std::string_view hex : {"0000000000000000000000000000000000000000000000000000000000000000",
                                     "0100000000000000000000000000000000000000000000000000000000000000",
                                     "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                                     "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                                     "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                     "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                     "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    for (size_t lane = 0; lane < 8; ++lane) {
      std::vector<Point> points(8);
      for (Point& point : points) random.Fill(point);
      points[lane] = Raw32(hex);
      const std::vector<absl::StatusOr<Secret32>> agreed = Each(key, points);
      for (size_t i = 0; i < points.size(); ++i) {
        if (i == lane) {
          EXPECT_THAT(agreed[i], HasStatus(StatusCode::kInvalidArgument, "small order")) << hex;
        } else {
          EXPECT_THAT(agreed[i], IsOk());
        }
      }
      ExpectAsAgree(key, points);
    }
  }
}

}  // namespace
}  // namespace fleetune
