#include "inference/kernels/packed_product.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "base/bytes.h"
#include "base/random.h"
#include "gtest/gtest.h"
#include "inference/kernels/blocks.h"

namespace fleetune {
namespace {

constexpr TensorType kTypes[] = {TensorType::kF32,  TensorType::kF16,  TensorType::kBF16, TensorType::kQ8_0,
                                 TensorType::kQ5_0, TensorType::kQ4_0, TensorType::kQ4_K, TensorType::kQ6_K};

bool IsQuantized(TensorType type) { return BlockElements(type) > 1; }

std::vector<float> RandomValues(size_t count, uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(2 * random.NextUnit() - 1);
  return values;
}

// Rows of weights with their packed form, in memory of their own.
struct TwoForms {
  TwoForms(TensorType type, uint64_t rows, uint64_t columns, Bytes blocks, bool half_blocks = false)
      : raw(std::move(blocks)), plain{.type = type, .data = raw, .rows = rows, .columns = columns} {
    panels.resize(PackedBytes(type, rows, columns, half_blocks));
    PackRows(plain, panels, half_blocks);
    packed = {.type = type, .rows = rows, .columns = columns, .data = panels, .half_blocks = half_blocks};
  }
  Bytes raw;
  WeightMatrix plain;
  Bytes panels;
  PackedMatrix packed;
};

TwoForms Quantized(TensorType type, uint64_t rows, uint64_t columns) {
  Bytes blocks(rows * columns / BlockElements(type) * BlockBytes(type));
  Quantize(type, RandomValues(rows * columns, rows + columns), blocks);
  return {type, rows, columns, std::move(blocks)};
}

// Every code, and scales of either sign: blocks of random bits, with halves that are numbers.
TwoForms RandomBits(TensorType type, uint64_t rows, uint64_t columns) {
  Bytes blocks(rows * columns / BlockElements(type) * BlockBytes(type));
  SplitMix64 random(3);
  random.Fill(blocks);
  const size_t block_bytes = BlockBytes(type);
  for (size_t at = 0; at < blocks.size(); at += block_bytes) {
    if (type == TensorType::kQ6_K) {
      blocks[at + 209] &= 0xBF;
    } else {
      blocks[at + 1] &= 0xBF;
      if (type == TensorType::kQ4_K) blocks[at + 3] &= 0xBF;
    }
  }
  return {type, rows, columns, std::move(blocks)};
}

std::vector<float> Multiply(const PackedMatrix& w, std::span<const float> x, const Compute& compute) {
  VectorTiles tiles;
  tiles.Fill(x, w.columns, {.quantized = IsQuantized(w.type), .floats = !IsQuantized(w.type)}, compute);
  std::vector<float> y(tiles.vectors() * w.rows, 0.5f);  // what is added to
  const PackedProduct product = {.w = &w, .x = &tiles, .y = y};
  AddProducts({&product, 1}, compute);
  return y;
}

bool SameBits(const std::vector<float>& x, const std::vector<float>& y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
}

// Q8_0 of random bits whose blocks are zero from the column 16 on.
Bytes HalfBlocks(uint64_t rows, uint64_t columns) {
  Bytes blocks = RandomBits(TensorType::kQ8_0, rows, columns).raw;
  const size_t block_bytes = BlockBytes(TensorType::kQ8_0);
  for (size_t at = 0; at < blocks.size(); at += block_bytes) {
    std::ranges::fill(std::span(blocks).subspan(at + 18, 16), uint8_t{0});
  }
  return blocks;
}

// What int8 makes of a block of 32 values, in double.
std::vector<double> Rounded(std::span<const float> x) {
  std::vector<double> rounded(x.size());
  for (size_t begin = 0; begin < x.size(); begin += 32) {
    double largest = 0;
    for (size_t i = begin; i < begin + 32; ++i) largest = std::max(largest, std::fabs(static_cast<double>(x[i])));
    for (size_t i = begin; i < begin + 32; ++i) {
      rounded[i] = std::nearbyint(static_cast<double>(x[i]) * 127 / largest) * largest / 127;
    }
  }
  return rounded;
}

TEST(UnpackRow, GivesWhatWasPacked) {
  for (const TensorType type : kTypes) {
    const TwoForms w = IsQuantized(type) ? RandomBits(type, 21, 512) : Quantized(type, 21, 512);
    std::vector<float> expected(512);
    std::vector<float> unpacked(512);
    for (uint64_t row = 0; row < 21; ++row) {
      Dequantize(type, std::span(w.raw).subspan(row * (w.raw.size() / 21), w.raw.size() / 21), expected);
      UnpackRow(w.packed, row, unpacked);
      EXPECT_TRUE(SameBits(unpacked, expected)) << TensorTypeName(type) << " row " << row;
    }
  }
}

TEST(AddProducts, AgreesWithDoubleOverWhatTheBlocksHold) {
  for (const TensorType type : kTypes) {
    const TwoForms w = Quantized(type, 37, 512);
    const std::vector<float> x = RandomValues(3 * 512, 2);
    const std::vector<double> seen =
        IsQuantized(type) ? Rounded(x) : std::vector<double>(x.begin(), x.end());
    const std::vector<float> y = Multiply(w.packed, x, {});
    std::vector<float> values(37 * 512);
    Dequantize(type, w.raw, values);
    for (size_t t = 0; t < 3; ++t) {
      for (size_t r = 0; r < 37; ++r) {
        double expected = 0.5;
        double magnitude = 0.5;
        for (size_t c = 0; c < 512; ++c) {
          const double product = static_cast<double>(values[r * 512 + c]) * seen[t * 512 + c];
          expected += product;
          magnitude += std::fabs(product);
        }
        // A rounded value may fall to the other side of a half in f32: one step of one value.
        ASSERT_NEAR(static_cast<double>(y[t * 37 + r]), expected, 512 * 0x1p-24 * magnitude + 0.01)
            << TensorTypeName(type) << " row " << r;
      }
    }
  }
}

TEST(AddProducts, EveryInstructionSetGivesTheSameBits) {
  for (const TensorType type : kTypes) {
    // Rows that do and do not fill a panel, every tile size, and blocks at the end of a super-block's first.
    for (const auto& [rows, columns] : {std::pair{16u, 256u}, {40u, 1024u}, {5u, 256u}}) {
      const TwoForms w = IsQuantized(type) ? RandomBits(type, rows, columns) : Quantized(type, rows, columns);
      for (const size_t vectors : {1u, 2u, 7u, 31u}) {
        std::vector<float> x = RandomValues(vectors * columns, vectors);
        x[0] = 1e-38f;
        std::fill_n(x.begin() + 32, 32, 0.0f);
        const std::vector<float> expected = Multiply(w.packed, x, {});
        for (const InstructionSet set : UsableInstructionSets()) {
          EXPECT_TRUE(SameBits(Multiply(w.packed, x, {.set = set}), expected))
              << TensorTypeName(type) << " " << InstructionSetName(set) << " " << rows << " rows, " << vectors;
        }
      }
    }
  }
}

TEST(AddProducts, HalfBlocksGiveWhatWholeOnesGive) {
  for (const auto& [rows, columns] : {std::pair{40u, 32u}, {16u, 96u}}) {
    const TwoForms whole(TensorType::kQ8_0, rows, columns, HalfBlocks(rows, columns));
    const TwoForms half(TensorType::kQ8_0, rows, columns, HalfBlocks(rows, columns), true);
    EXPECT_LT(half.packed.data.size(), whole.packed.data.size() * 6 / 10);
    for (const size_t vectors : {1u, 2u, 7u, 31u}) {
      const std::vector<float> x = RandomValues(vectors * columns, vectors);
      const std::vector<float> expected = Multiply(whole.packed, x, {});
      for (const InstructionSet set : UsableInstructionSets()) {
        EXPECT_TRUE(SameBits(Multiply(half.packed, x, {.set = set}), expected)) << InstructionSetName(set) << " " << vectors;
      }
    }
  }
}

TEST(AddProducts, TheLargestSumsFit) {
  // Codes and values at both ends: what 16 bits must hold in between.
  for (const TensorType type : {TensorType::kQ8_0, TensorType::kQ5_0, TensorType::kQ4_0, TensorType::kQ4_K,
                                TensorType::kQ6_K}) {
    for (const int fill : {0x00, 0x7F, 0x80, 0xFF}) {
      Bytes blocks(16 * 256 / BlockElements(type) * BlockBytes(type), static_cast<uint8_t>(fill));
      for (size_t at = 0; at < blocks.size(); at += BlockBytes(type)) {  // scales of 1
        const size_t half = type == TensorType::kQ6_K ? at + 208 : at;
        blocks[half] = 0;
        blocks[half + 1] = 0x3C;
        if (type == TensorType::kQ4_K) blocks[at + 2] = blocks[at + 3] = 0;
      }
      const TwoForms w(type, 16, 256, blocks);
      for (const float sign : {1.0f, -1.0f}) {
        const std::vector<float> x(256, sign);
        const std::vector<float> expected = Multiply(w.packed, x, {});
        std::vector<float> values(16 * 256);
        Dequantize(type, w.raw, values);
        double sum = 0.5;
        for (size_t c = 0; c < 256; ++c) sum += static_cast<double>(values[c] * sign);
        EXPECT_NEAR(static_cast<double>(expected[0]), sum, std::fabs(sum) * 1e-5 + 1e-3) << TensorTypeName(type);
        for (const InstructionSet set : UsableInstructionSets()) {
          EXPECT_TRUE(SameBits(Multiply(w.packed, x, {.set = set}), expected))
              << TensorTypeName(type) << " " << InstructionSetName(set) << " " << fill;
        }
      }
    }
  }
}

TEST(AddProducts, GivesTheSameBitsForEveryNumberOfVectorsAndThreads) {
  Workers workers(3);
  for (const TensorType type : {TensorType::kQ4_0, TensorType::kF16}) {
    const TwoForms w = Quantized(type, 200, 64);
    const std::vector<float> x = RandomValues(23 * 64, 1);
    for (const InstructionSet set : UsableInstructionSets()) {
      const std::vector<float> together = Multiply(w.packed, x, {.set = set, .workers = &workers});
      for (size_t t = 0; t < 23; ++t) {
        const std::vector<float> single = Multiply(w.packed, std::span(x).subspan(t * 64, 64), {.set = set});
        EXPECT_TRUE(std::equal(single.begin(), single.end(), together.begin() + static_cast<ptrdiff_t>(t * 200)));
      }
    }
  }
}

TEST(AddProducts, SeveralMatricesShareTheVectors) {
  Workers workers(2);
  const TwoForms first = Quantized(TensorType::kQ8_0, 33, 96);
  const TwoForms second = Quantized(TensorType::kF32, 100, 96);
  const std::vector<float> x = RandomValues(5 * 96, 1);
  VectorTiles tiles;
  tiles.Fill(x, 96, {.quantized = true, .floats = true}, {});
  std::vector<float> y1(5 * 33, 0.5f);
  std::vector<float> y2(5 * 100, 0.5f);
  const PackedProduct products[] = {{.w = &first.packed, .x = &tiles, .y = y1},
                                    {.w = &second.packed, .x = &tiles, .y = y2}};
  AddProducts(products, {.workers = &workers});
  EXPECT_EQ(y1, Multiply(first.packed, x, {}));
  EXPECT_EQ(y2, Multiply(second.packed, x, {}));
}

// Of all vectors, and of some of them: after the product that they come with, whatever the panels, tiles and threads.
TEST(AddProducts, ProductsThenAreAddedAfter) {
  Workers workers(3);
  constexpr size_t kRows = 200;
  const TwoForms w = Quantized(TensorType::kQ4_0, kRows, 96);
  const TwoForms b(TensorType::kQ8_0, kRows, 32, HalfBlocks(kRows, 32), true);
  const TwoForms c = Quantized(TensorType::kF32, kRows, 3);
  for (const size_t vectors : {1u, 3u, 16u, 23u}) {
    const size_t some = (vectors + 1) / 2;  // the last
    VectorTiles x, x_of_b, x_of_c;
    x.Fill(RandomValues(vectors * 96, 1), 96, {.quantized = true}, {});
    x_of_b.Fill(RandomValues(vectors * 32, 2), 32, {.quantized = true}, {});
    x_of_c.Fill(RandomValues(some * 3, 3), 3, {.floats = true}, {});
    const auto y_of_c = [&](std::vector<float>& y) { return std::span(y).last(some * kRows); };
    std::vector<float> expected(vectors * kRows, 0.5f);
    const PackedProduct apart[] = {{.w = &w.packed, .x = &x, .y = expected},
                                   {.w = &b.packed, .x = &x_of_b, .y = expected},
                                   {.w = &c.packed, .x = &x_of_c, .y = y_of_c(expected)}};
    for (const PackedProduct& product : apart) AddProducts({&product, 1}, {});
    for (const InstructionSet set : UsableInstructionSets()) {
      std::vector<float> y(vectors * kRows, 0.5f);
      const PackedProduct then[] = {{.w = &b.packed, .x = &x_of_b, .y = y},
                                    {.w = &c.packed, .x = &x_of_c, .y = y_of_c(y)}};
      const PackedProduct product = {.w = &w.packed, .x = &x, .y = y, .then = then};
      AddProducts({&product, 1}, {.set = set, .workers = &workers});
      EXPECT_TRUE(SameBits(y, expected)) << InstructionSetName(set) << " " << vectors;
    }
  }
}

TEST(AddProducts, ValuesThatAreNoNumbersStayNone) {
  const TwoForms w = Quantized(TensorType::kQ4_0, 16, 64);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> x(64, 1.0f);
    x[40] = bad;
    for (const InstructionSet set : UsableInstructionSets()) {
      for (const float y : Multiply(w.packed, x, {.set = set})) EXPECT_TRUE(std::isnan(y));
    }
  }
}

TEST(AddProductsDeathTest, ChecksItsCaller) {
  const TwoForms w = Quantized(TensorType::kQ8_0, 16, 64);
  VectorTiles tiles;
  tiles.Fill(std::vector<float>(64), 64, {.floats = true}, {});
  std::vector<float> y(16);
  const PackedProduct product = {.w = &w.packed, .x = &tiles, .y = y};
  EXPECT_DEATH(AddProducts({&product, 1}, {}), "quantized");
  tiles.Fill(std::vector<float>(64), 32, {.quantized = true}, {});
  EXPECT_DEATH(AddProducts({&product, 1}, {}), "columns");
  EXPECT_DEATH(tiles.Fill(std::vector<float>(40), 40, {.quantized = true}, {}), "kPanelBlock");
  tiles.Fill(std::vector<float>(64), 64, {.quantized = true}, {});
  const PackedProduct elsewhere = {.w = &w.packed, .x = &tiles, .y = y};
  std::vector<float> own(16);
  const PackedProduct first = {.w = &w.packed, .x = &tiles, .y = own, .then = {&elsewhere, 1}};
  EXPECT_DEATH(AddProducts({&first, 1}, {}), "more.y");
  EXPECT_DEATH(PackedBytes(TensorType::kQ4_0, 16, 32, true), "half");
  EXPECT_DEATH(TwoForms(TensorType::kQ8_0, 1, 32, RandomBits(TensorType::kQ8_0, 1, 32).raw, true), "codes == 0");
}

TEST(InstructionSet, NamesAreRead) {
  for (const InstructionSet set : UsableInstructionSets()) {
    EXPECT_EQ(InstructionSetFromName(InstructionSetName(set)), set);
  }
  EXPECT_EQ(UsableInstructionSets().front(), InstructionSet::kScalar);
  EXPECT_EQ(InstructionSetFromName("avx"), std::nullopt);
}

}  // namespace
}  // namespace fleetune
