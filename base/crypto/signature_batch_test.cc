#include "base/crypto/signature_batch.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/crypto/ed25519.h"
#include "base/crypto/ed25519_batch.h"
#include "base/crypto/random.h"
#include "base/hex.h"
#include "base/random.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

template <size_t kSize>
std::array<uint8_t, kSize> Raw(std::string_view hex) {
  const Bytes bytes = *FromHex(hex);
  std::array<uint8_t, kSize> raw{};
  std::copy(bytes.begin(), bytes.end(), raw.begin());
  return raw;
}

// A signature over a bare message, to be changed.
struct Signed {
  std::array<uint8_t, 32> key;
  Bytes message;
  std::array<uint8_t, 64> signature;
};

Signed RandomSigned(RandomSource& random, size_t message_bytes) {
  std::array<uint8_t, 32> seed;
  random.Fill(seed);
  Signed made{.key = ed25519::PublicKey(seed), .message = Bytes(message_bytes), .signature = {}};
  random.Fill(made.message);
  made.signature = ed25519::Sign(seed, made.message);
  return made;
}

// Every kernel that this machine has.
class Ed25519BatchTest : public testing::TestWithParam<CurveKernel> {
 protected:
  void SetUp() override {
    if (!IsSupported(GetParam())) GTEST_SKIP() << "this processor lacks the instructions";
  }
  static std::vector<ed25519::Claim> ClaimsOf(std::span<const Signed> all) {
    std::vector<ed25519::Claim> claims;
    for (const Signed& one : all) claims.push_back({one.key, one.message, one.signature});
    return claims;
  }
  std::vector<bool> Each(std::span<const Signed> all) const {
    return ed25519::VerifyEach(ClaimsOf(all), GetParam());
  }
  // OpenSSL, one after the other, is the reference. How many are good.
  size_t ExpectAsOneByOne(std::span<const Signed> all) const {
    const std::vector<bool> verified = Each(all);
    EXPECT_EQ(verified.size(), all.size());
    if (GetParam() == CurveKernel::kIfma512) {
      EXPECT_EQ(ed25519::AcceptEach(ClaimsOf(all)), verified);  // nothing was left to OpenSSL
    }
    size_t good = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      const bool expected = ed25519::Verify(all[i].key, all[i].message, all[i].signature);
      EXPECT_EQ(verified[i], expected) << i << ": key " << ToHex(all[i].key) << ", signature "
                                       << ToHex(all[i].signature) << ", message " << ToHex(all[i].message);
      good += expected ? 1 : 0;
    }
    return good;
  }
};
INSTANTIATE_TEST_SUITE_P(Kernels, Ed25519BatchTest, testing::Values(CurveKernel::kOpenssl, CurveKernel::kIfma512),
                         [](const auto& kernel) { return kernel.param == CurveKernel::kIfma512 ? "Ifma512" : "Openssl"; });

// RFC 8032, section 7.1, tests 1 to 3 and "SHA(abc)", in every lane, among signatures that are good and bad.
TEST_P(Ed25519BatchTest, TakesThePublishedVectorsInEveryLane) {
  const Signed vectors[] = {
      {Raw<32>("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
       {},
       Raw<64>("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0"
               "595bbe24655141438e7a100b")},
      {Raw<32>("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
       {0x72},
       Raw<64>("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eae"
               "b4302aeeb00d291612bb0c00")},
      {Raw<32>("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"),
       {0xaf, 0x82},
       Raw<64>("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9"
               "716ed28dc027beceea1ec40a")},
      {Raw<32>("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf"),
       *FromHex("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d442364"
                "3ce80e2a9ac94fa54ca49f"),
       Raw<64>("dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c"
               "138ac17ad9bef1177331a704")},
  };
  AesCtrRandom random({});
  for (const Signed& vector : vectors) {
    for (size_t lane = 0; lane < 8; ++lane) {
      std::vector<Signed> all;
      for (size_t i = 0; i < 8; ++i) all.push_back(RandomSigned(random, 40));
      all[(lane + 3) % 8].signature[5] ^= 1;
      all[lane] = vector;
      std::vector<bool> expected(8, true);
      expected[(lane + 3) % 8] = false;
      EXPECT_EQ(Each(all), expected) << lane;
    }
  }
}

TEST_P(Ed25519BatchTest, TakesWhatIsSignedAndNothingElse) {
  AesCtrRandom random({});
  SplitMix64 choice(1);
  size_t good = 0;
  for (int round = 0; round < 40; ++round) {
    std::vector<Signed> all;
    for (size_t i = 0; i < 50; ++i) {
      Signed& one = all.emplace_back(RandomSigned(random, 1 + choice.Next() % 300));
      const auto flip = [&](std::span<uint8_t> bytes) {
        const size_t bit = choice.Next() % (8 * bytes.size());
        bytes[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
      };
      switch (choice.Next() % 8) {
        case 0:
          flip(one.key);
          break;
        case 1:
          flip(one.message);
          break;
        case 2:
          flip(std::span(one.signature).first(32));
          break;
        case 3:
          flip(std::span(one.signature).last(32));
          break;
        default:
          break;  // good
      }
    }
    good += ExpectAsOneByOne(all);
  }
  EXPECT_GT(good, 900u);
  EXPECT_LT(good, 1100u);
}

TEST_P(Ed25519BatchTest, EveryFlippedBitIsRefused) {
  AesCtrRandom random({});
  const Signed original = RandomSigned(random, 8);
  std::vector<Signed> all;
  for (size_t bit = 0; bit < 512; ++bit) {
    all.push_back(original);
    all.back().signature[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
  for (size_t bit = 0; bit < 256; ++bit) {
    all.push_back(original);
    all.back().key[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
  EXPECT_EQ(ExpectAsOneByOne(all), 0u);
}

TEST_P(Ed25519BatchTest, AnyNumberOfClaims) {
  AesCtrRandom random({});
  std::vector<Signed> all;
  for (size_t i = 0; i < 33; ++i) all.push_back(RandomSigned(random, i));
  for (const size_t count : {0, 1, 2, 7, 8, 9, 15, 16, 17, 33}) {
    EXPECT_EQ(ExpectAsOneByOne(std::span(all).first(count)), count);
  }
}

// S + L would verify under a looser rule (RFC 8032, section 5.1.7, asks for S < L), as would S of all ones.
TEST_P(Ed25519BatchTest, RefusesAScalarThatIsNotReduced) {
  constexpr std::array<uint8_t, 32> kOrder = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7,
                                              0xa2, 0xde, 0xf9, 0xde, 0x14, 0,    0,    0,    0,    0,    0,
                                              0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};
  AesCtrRandom random({});
  std::vector<Signed> all;
  for (size_t i = 0; i < 16; ++i) {
    Signed& one = all.emplace_back(RandomSigned(random, 10));
    unsigned carry = 0;
    for (size_t byte = 0; byte < 32; ++byte) {
      const unsigned sum = one.signature[32 + byte] + kOrder[byte] + carry;
      one.signature[32 + byte] = static_cast<uint8_t>(sum);
      carry = sum >> 8;
    }
    ASSERT_EQ(carry, 0u);
  }
  Signed& order = all.emplace_back(RandomSigned(random, 10));
  std::ranges::copy(kOrder, order.signature.begin() + 32);
  Signed& ones = all.emplace_back(RandomSigned(random, 10));
  std::fill(ones.signature.begin() + 32, ones.signature.end(), uint8_t{0xff});
  EXPECT_EQ(ExpectAsOneByOne(all), 0u);
}

// Points of small order and encodings that are not reduced, as key and as R, with S of 0, 1 and anything. Without a
// cofactor some of these verify for a share of all messages: as many by the kernel as by OpenSSL, which takes a y that
// is not reduced in a key, and in R none.
TEST_P(Ed25519BatchTest, DecidesOddPointsAsOpenSsl) {
  std::vector<std::array<uint8_t, 32>> odd;
  for (const std::string_view hex : {"0000000000000000000000000000000000000000000000000000000000000000",
                                     "0100000000000000000000000000000000000000000000000000000000000000",
                                     "0200000000000000000000000000000000000000000000000000000000000000",
                                     "0300000000000000000000000000000000000000000000000000000000000000",
                                     "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                     "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                     "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                     "efffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                     "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                     "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                     "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                                     "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"}) {
    for (const uint8_t sign : {uint8_t{0}, uint8_t{0x80}}) {
      odd.push_back(Raw<32>(hex));
      odd.back()[31] |= sign;
    }
  }
  AesCtrRandom random({});
  // [1] B, so that S = 1 meets its own point.
  std::array<uint8_t, 32> base;
  base.fill(0x66);
  base[0] = 0x58;
  odd.push_back(base);
  std::vector<Signed> all;
  for (const std::array<uint8_t, 32>& key : odd) {
    for (const std::array<uint8_t, 32>& r : odd) {
      for (uint8_t s = 0; s < 2; ++s) {
        for (uint8_t message = 0; message < 4; ++message) {
          Signed& one = all.emplace_back(Signed{.key = key, .message = {message}, .signature = {}});
          std::ranges::copy(r, one.signature.begin());
          one.signature[32] = s;
        }
      }
    }
  }
  const size_t good = ExpectAsOneByOne(all);
  EXPECT_GT(good, 50u);
  EXPECT_LT(good, all.size() / 2);

  // A key of small order in a good signature's place, and R of such an order.
  std::vector<Signed> mixed;
  for (const std::array<uint8_t, 32>& point : odd) {
    mixed.push_back(RandomSigned(random, 5));
    mixed.back().key = point;
    mixed.push_back(RandomSigned(random, 5));
    std::ranges::copy(point, mixed.back().signature.begin());
  }
  ExpectAsOneByOne(mixed);
}

// Keys at the edges of what 255 bits hold: about half of them are points.
TEST_P(Ed25519BatchTest, DecidesEveryKeyAsOpenSsl) {
  AesCtrRandom random({});
  std::vector<Signed> all;
  for (size_t bit = 0; bit < 256; ++bit) {
    for (const int fill : {0x00, 0xff}) {
      Signed& one = all.emplace_back(RandomSigned(random, 5));
      one.key.fill(static_cast<uint8_t>(fill));
      one.key[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    }
  }
  EXPECT_EQ(ExpectAsOneByOne(all), 0u);
}

TEST_P(Ed25519BatchTest, EachClaimHasItsOwnPurposeAndKey) {
  std::vector<SignatureClaim> claims;
  for (size_t i = 0; i < 20; ++i) {
    const SigningKey key = SigningKey::Generate();
    Bytes message(i, static_cast<uint8_t>(i));
    const SignPurpose purpose = i % 2 == 0 ? SignPurpose::kSecAggView : SignPurpose::kSecAggAdvertise;
    const Signature signature = key.Sign(purpose, message);
    claims.push_back({key.verify_key(), purpose, std::move(message), signature});
  }
  for (const absl::Status& status : VerifyEach(claims, GetParam())) EXPECT_THAT(status, IsOk());
  claims[3].purpose = SignPurpose::kSecAggView;
  claims[9].message.push_back(0);
  claims[17].key = claims[16].key;
  const std::vector<absl::Status> statuses = VerifyEach(claims, GetParam());
  for (size_t i = 0; i < claims.size(); ++i) {
    if (i == 3 || i == 9 || i == 17) {
      EXPECT_THAT(statuses[i], HasStatus(StatusCode::kUnauthenticated, "the signature does not verify")) << i;
    } else {
      EXPECT_THAT(statuses[i], IsOk()) << i;
    }
  }
}

}  // namespace
}  // namespace fleetune
