#include "base/crypto/mask_stream.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/crypto/mask_keystream.h"
#include "base/crypto/random.h"
#include "base/hex.h"
#include "base/random.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

Secret32 KeyOf(std::string_view hex) {
  const Bytes bytes = *FromHex(hex);
  return Secret32(std::span<const uint8_t, 32>(bytes.data(), 32));
}

Secret32 RandomKey(RandomSource& random) {
  Secret32 key;
  random.Fill(key.mutable_bytes());
  return key;
}

Bytes Xor(Bytes a, std::span<const uint8_t> b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] ^= b[i];
  return a;
}

mask::FirstBlock BlockOf(std::string_view hex) {
  const Bytes bytes = *FromHex(hex);
  mask::FirstBlock block{};
  std::copy(bytes.begin(), bytes.end(), block.begin());
  return block;
}

std::string HexOf(const MaskStream& stream, uint64_t byte_offset, size_t size) {
  Bytes bytes(size, 0xff);  // what was there does not matter
  stream.Generate(bytes, byte_offset);
  return ToHex(bytes);
}

constexpr char kZeroKey[] = "0000000000000000000000000000000000000000000000000000000000000000";

// Every kernel that this machine has; the tests of ChaCha20 need only the first.
class MaskStreamTest : public testing::TestWithParam<MaskKernel> {
 protected:
  void SetUp() override {
    if (!IsSupported(GetParam())) GTEST_SKIP() << "this processor cannot run the kernel";
  }
  MaskStream Aes(const Secret32& key, uint32_t vector_id = 0) const {
    return MaskStream(MaskCipher::kAes256Ctr, key, vector_id, GetParam());
  }
  std::unique_ptr<const mask::Keystream> AesKeystream(const Secret32& key) const {
    return GetParam() == MaskKernel::kEvp ? mask::NewEvpKeystream(MaskCipher::kAes256Ctr, key)
                                          : mask::NewVaes512Keystream(key);
  }
};

INSTANTIATE_TEST_SUITE_P(Kernels, MaskStreamTest, testing::Values(MaskKernel::kEvp, MaskKernel::kVaes512),
                         [](const auto& kernel) { return kernel.param == MaskKernel::kEvp ? "Evp" : "Vaes512"; });

// SP 800-38A, F.5.5 (CTR-AES256.Encrypt).
TEST_P(MaskStreamTest, GivesThePublishedAesVector) {
  Bytes keystream(64);
  AesKeystream(KeyOf("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"))
      ->Apply(mask::Combine::kWrite, BlockOf("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"), keystream);
  EXPECT_EQ(ToHex(Xor(keystream, *FromHex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
                                          "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"))),
            "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
            "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6");
}

// AES-256 of 0, 1, 2 under the zero key: H, E(Y0) and E(Y1) of test cases 13 and 14 in the GCM
// specification (McGrew, Viega).
TEST_P(MaskStreamTest, CountsBlocksFromZero) {
  EXPECT_EQ(HexOf(Aes(KeyOf(kZeroKey)), 0, 48),
            "dc95c078a2408989ad48a21492842087"
            "530f8afbc74536b9a963b4f1c4cb738b"
            "cea7403d4d606b6e074ec5d3baf39d18");
}

// The layout of the counter block is part of the wire: a change would leave masks that do not cancel.
TEST_P(MaskStreamTest, AesCounterBlockIsVectorIdZeroAndBlockBigEndian) {
  SplitMix64 random(1);
  const Secret32 key = RandomKey(random);
  for (const auto& [block, hex] : {std::pair<uint64_t, std::string_view>{0, "01020304000000000000000000000000"},
                                   {4, "01020304000000000000000000000004"},
                                   {0x10c, "0102030400000000000000000000010c"},
                                   {0xfffffffc, "010203040000000000000000fffffffc"},
                                   {0x300000000, "01020304000000000000000300000000"}}) {
    Bytes expected(160);  // past the 32-bit carry
    mask::NewEvpKeystream(MaskCipher::kAes256Ctr, key)->Apply(mask::Combine::kWrite, BlockOf(hex), expected);
    EXPECT_EQ(HexOf(Aes(key, 0x01020304), block * 16, 160), ToHex(expected)) << hex;
  }
}

// RFC 8439, appendix A.1, test vectors 1 to 5. Their nonces are a vector id after 8 zero bytes.
TEST(MaskStreamChaCha20Test, GivesThePublishedBlocks) {
  const struct {
    std::string_view key;
    uint32_t vector_id;
    uint64_t block;
    std::string_view keystream;
  } vectors[] = {
      {kZeroKey, 0, 0,
       "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
       "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"},
      {kZeroKey, 0, 1,
       "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
       "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"},
      {"0000000000000000000000000000000000000000000000000000000000000001", 0, 1,
       "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
       "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0"},
      {"00ff000000000000000000000000000000000000000000000000000000000000", 0, 2,
       "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca"
       "13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096"},
      {kZeroKey, 2, 0,
       "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7"
       "8a970e0e955c14f3a88e741b97c286f75f8fc299e8148362fa198a39531bed6d"},
  };
  for (const auto& vector : vectors) {
    for (const MaskKernel kernel : {MaskKernel::kEvp, BestMaskKernel()}) {
      const MaskStream stream(MaskCipher::kChaCha20, KeyOf(vector.key), vector.vector_id, kernel);
      EXPECT_EQ(HexOf(stream, vector.block * 64, 64), vector.keystream);
    }
  }
}

// RFC 8439, section 2.3.2: every word of the block has its place.
TEST(MaskStreamChaCha20Test, GivesThePublishedBlockOfAnyNonce) {
  Bytes keystream(64);
  mask::NewEvpKeystream(MaskCipher::kChaCha20,
                        KeyOf("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"))
      ->Apply(mask::Combine::kWrite, BlockOf("01000000000000090000004a00000000"), keystream);
  EXPECT_EQ(ToHex(keystream),
            "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
            "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e");
}

TEST(MaskStreamChaCha20Test, ReachesTheLastBlock) {
  SplitMix64 random(2);
  const Secret32 key = RandomKey(random);
  Bytes expected(64);
  mask::NewEvpKeystream(MaskCipher::kChaCha20, key)
      ->Apply(mask::Combine::kWrite, BlockOf("ffffffff000000000000000001020304"), expected);
  EXPECT_EQ(HexOf(MaskStream(MaskCipher::kChaCha20, key, 0x01020304), kMaxMaskBytes - 64, 64), ToHex(expected));
}

template <typename Lane>
void Add(const MaskStream& stream, std::span<Lane> tile, uint64_t first_element) {
  MaskStream::Add({&stream, 1}, tile, first_element);
}
template <typename Lane>
void Subtract(const MaskStream& stream, std::span<Lane> tile, uint64_t first_element) {
  MaskStream::Subtract({&stream, 1}, tile, first_element);
}

// What a tile becomes, in the slow and obvious way: from the keystream, which the vectors above pin.
template <typename Lane>
std::vector<Lane> Combined(const MaskStream& stream, std::vector<Lane> tile, uint64_t first_element, bool add) {
  Bytes keystream(tile.size() * sizeof(Lane));
  stream.Generate(keystream, first_element * sizeof(Lane));
  for (size_t i = 0; i < tile.size(); ++i) {
    Lane word = 0;
    for (size_t j = 0; j < sizeof(Lane); ++j) {
      word = static_cast<Lane>(word | static_cast<Lane>(keystream[i * sizeof(Lane) + j]) << (8 * j));
    }
    tile[i] = static_cast<Lane>(add ? tile[i] + word : tile[i] - word);
  }
  return tile;
}

// One case: `stream` against the slow way through `reference`, with neighbours that must stay.
template <typename Lane>
void ExpectCombines(const MaskStream& stream, const MaskStream& reference, size_t lanes, uint64_t first_element,
                    SplitMix64& random) {
  constexpr size_t kBefore = 3;  // so that tiles begin anywhere in a cache line
  constexpr size_t kAfter = 70;
  std::vector<Lane> whole(kBefore + lanes + kAfter);
  random.Fill({reinterpret_cast<uint8_t*>(whole.data()), whole.size() * sizeof(Lane)});
  for (const bool add : {true, false}) {
    const std::vector<Lane> tile(whole.begin() + kBefore, whole.begin() + kBefore + static_cast<ptrdiff_t>(lanes));
    std::vector<Lane> expected = whole;
    std::ranges::copy(Combined(reference, tile, first_element, add), expected.begin() + kBefore);
    std::vector<Lane> actual = whole;
    const std::span<Lane> place = std::span(actual).subspan(kBefore, lanes);
    add ? Add(stream, place, first_element) : Subtract(stream, place, first_element);
    ASSERT_EQ(actual, expected) << lanes << " lanes of " << sizeof(Lane) << " bytes from " << first_element;
  }
}

// Through the sizes at which pieces, steps and vectors end.
TEST_P(MaskStreamTest, CombinesTilesOfEveryLength) {
  SplitMix64 random(3);
  const Secret32 key = RandomKey(random);
  const MaskStream stream = Aes(key, 7);
  const MaskStream reference(MaskCipher::kAes256Ctr, key, 7, MaskKernel::kEvp);
  for (size_t lanes = 0; lanes <= 600; ++lanes) {
    ASSERT_NO_FATAL_FAILURE(ExpectCombines<uint32_t>(stream, reference, lanes, 32, random));
    ASSERT_NO_FATAL_FAILURE(ExpectCombines<uint16_t>(stream, reference, lanes, 32, random));
  }
  for (const size_t lanes : {2047u, 2048u, 2049u, 4095u, 4096u, 4097u, 16384u, 32768u, 32769u}) {
    ASSERT_NO_FATAL_FAILURE(ExpectCombines<uint32_t>(stream, reference, lanes, 0, random));
    ASSERT_NO_FATAL_FAILURE(ExpectCombines<uint16_t>(stream, reference, lanes, 0, random));
  }
}

TEST_P(MaskStreamTest, CombinesAnyKeyVectorPlaceAndLength) {
  SplitMix64 random(4);
  for (int i = 0; i < 300; ++i) {
    const Secret32 key = RandomKey(random);
    const auto vector_id = static_cast<uint32_t>(random.Next());
    const MaskStream stream = Aes(key, vector_id);
    const MaskStream reference(MaskCipher::kAes256Ctr, key, vector_id, MaskKernel::kEvp);
    const size_t lanes = random.Below(3000);
    // Near and far, and across the carry at 2^32 blocks of 16 bytes.
    const uint64_t ends[] = {uint64_t{1} << 20, kMaxMaskBytes, (uint64_t{1} << 36) + 4096};
    const uint64_t byte_offset = (ends[i % 3] - 64 * (200 + random.Below(i % 3 == 2 ? 64 : 4096))) / 64 * 64;
    ASSERT_NO_FATAL_FAILURE(ExpectCombines<uint32_t>(stream, reference, lanes, byte_offset / 4, random));
    ASSERT_NO_FATAL_FAILURE(ExpectCombines<uint16_t>(stream, reference, lanes, byte_offset / 2, random));

    Bytes expected(lanes);
    reference.Generate(expected, byte_offset);
    ASSERT_EQ(HexOf(stream, byte_offset, lanes), ToHex(expected));
  }
}

TEST(MaskStreamChaCha20Test, CombinesTilesOfManyLengths) {
  SplitMix64 random(5);
  const MaskStream stream(MaskCipher::kChaCha20, RandomKey(random), 9);
  for (const size_t lanes : {0u, 1u, 15u, 16u, 17u, 127u, 128u, 129u, 4096u, 5000u}) {
    ASSERT_NO_FATAL_FAILURE(ExpectCombines<uint32_t>(stream, stream, lanes, 4096, random));
    ASSERT_NO_FATAL_FAILURE(ExpectCombines<uint16_t>(stream, stream, lanes, 4096, random));
  }
}

TEST_P(MaskStreamTest, TilesMakeTheWholeInAnyOrderAndSubtractingGivesItBack) {
  SplitMix64 random(6);
  const MaskStream stream = Aes(RandomKey(random), 1);
  std::vector<uint32_t> whole(10'000, 5);
  Add(stream, std::span(whole), 0);
  std::vector<uint32_t> tiles(whole.size(), 5);
  for (size_t end = tiles.size(); end > 0;) {
    const size_t begin = (end - 1) / 1024 * 1024;
    Add(stream, std::span(tiles).subspan(begin, end - begin), begin);
    end = begin;
  }
  EXPECT_EQ(tiles, whole);
  Subtract(stream, std::span(tiles), 0);
  EXPECT_EQ(tiles, std::vector<uint32_t>(whole.size(), 5));
}

TEST_P(MaskStreamTest, KeysVectorsAndCiphersHaveTheirOwnStreams) {
  SplitMix64 random(7);
  const Secret32 key = RandomKey(random);
  const std::string stream = HexOf(Aes(key, 0), 0, 64);
  EXPECT_NE(stream, HexOf(Aes(key, 1), 0, 64));
  EXPECT_NE(stream, HexOf(Aes(RandomKey(random), 0), 0, 64));
  EXPECT_NE(stream, HexOf(Aes(key, 0), 64, 64));
  EXPECT_NE(stream, HexOf(MaskStream(MaskCipher::kChaCha20, key, 0), 0, 64));
}

// As the unmasking workers do: every thread has its tile and goes through the same streams.
TEST_P(MaskStreamTest, ThreadsShareAStream) {
  SplitMix64 random(8);
  constexpr size_t kTile = 4096;
  constexpr size_t kThreads = 4;
  std::vector<MaskStream> streams;
  for (uint32_t i = 0; i < 20; ++i) streams.push_back(Aes(RandomKey(random), i));
  std::vector<uint32_t> expected(kTile * kThreads);
  for (const MaskStream& stream : streams) Add(stream, std::span(expected), 0);

  std::vector<uint32_t> sum(expected.size());
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      MaskStream::Add(streams, std::span(sum).subspan(t * kTile, kTile), t * kTile);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum, expected);
}

TEST_P(MaskStreamTest, RefusesToBeginInsideABlockOrToGoPastTheEnd) {
  SplitMix64 random(9);
  MaskStream stream = Aes(RandomKey(random));
  std::vector<uint32_t> tile(32);
  std::vector<uint16_t> half(32);
  const std::span<uint32_t> lanes(tile);
  EXPECT_DEATH(Add(stream, lanes, 8), "kMaskSeekBytes");
  EXPECT_DEATH(Subtract(stream, std::span(half), 16), "kMaskSeekBytes");
  Add(stream, std::span(half), 32);
  const uint64_t end = kMaxMaskBytes / 4;
  Add(stream, lanes, end - 32);
  Add(stream, lanes.first(0), end);
  EXPECT_DEATH(Add(stream, lanes, end - 16), "kMaxMaskBytes");
  EXPECT_DEATH(Add(stream, lanes, uint64_t{1} << 62), "kMaxMaskBytes");

  const MaskStream moved = std::move(stream);
  Add(moved, lanes, 0);
  EXPECT_DEATH(Add(stream, lanes, 0), "keystream_");  // NOLINT: it must notice
}

// Of both ciphers, several vectors and kernels, in runs of every length about what goes through the tile at once.
TEST_P(MaskStreamTest, ManyStreamsAreOneAfterTheOther) {
  SplitMix64 random(10);
  std::vector<MaskStream> streams;
  const auto append = [&](size_t count, MaskCipher cipher, uint32_t vector_id, MaskKernel kernel) {
    for (size_t i = 0; i < count; ++i) streams.emplace_back(cipher, RandomKey(random), vector_id, kernel);
  };
  for (const size_t count : {1, 2, 31, 32, 33, 70}) {
    append(count, MaskCipher::kAes256Ctr, 1, GetParam());
    append(2, MaskCipher::kChaCha20, 1, GetParam());
    append(3, MaskCipher::kAes256Ctr, 1, MaskKernel::kEvp);
    append(2, MaskCipher::kAes256Ctr, 1, GetParam());
    append(count, MaskCipher::kAes256Ctr, 2, GetParam());
  }
  for (const size_t lanes : {0, 1, 127, 128, 129, 1000}) {
    std::vector<uint32_t> together(lanes, 9);
    std::vector<uint32_t> apart(together);
    MaskStream::Add(streams, std::span(together), 64);
    for (const MaskStream& stream : streams) Add(stream, std::span(apart), 64);
    EXPECT_EQ(together, apart) << lanes;
    MaskStream::Subtract(streams, std::span(together), 64);
    EXPECT_EQ(together, std::vector<uint32_t>(lanes, 9)) << lanes;
    std::vector<uint16_t> narrow(lanes, 9);
    std::vector<uint16_t> narrow_apart(narrow);
    MaskStream::Subtract(streams, std::span(narrow), 64);
    for (const MaskStream& stream : streams) Subtract(stream, std::span(narrow_apart), 64);
    EXPECT_EQ(narrow, narrow_apart) << lanes;
  }
}

TEST(MaskKernelTest, ThePortableOneIsAlwaysThereAndTheBestIsSupported) {
  EXPECT_TRUE(IsSupported(MaskKernel::kEvp));
  EXPECT_TRUE(IsSupported(BestMaskKernel()));
  EXPECT_EQ(BestMaskKernel(), IsSupported(MaskKernel::kVaes512) ? MaskKernel::kVaes512 : MaskKernel::kEvp);
}

}  // namespace
}  // namespace fleetune
