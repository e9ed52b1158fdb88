#include "lora/adapter/refactoring.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/files.h"
#include "base/random.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

AdapterSpec SpecOf(uint32_t rank, uint32_t in, uint32_t out) {
  BaseSizes base{.layers = 2};
  for (ProjectionSizes& sizes : base.projections) sizes = {.in = in, .out = out};
  return *AdapterSpec::Create({.rank = rank, .alpha = 8, .targets = {Projection::kQ, Projection::kDown}}, base);
}

std::vector<float> RandomFloats(uint64_t size, uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<float> values(size);
  for (float& value : values) value = static_cast<float>(random.NextUnit() - 0.5);
  return values;
}

Adapter RandomAdapter(const AdapterSpec& spec, uint64_t seed) {
  return *Adapter::Create(spec, RandomFloats(spec.a_size(), seed), RandomFloats(spec.b_size(), seed + 1));
}

// B A of a module: out rows of in values, in double.
std::vector<double> ProductOf(const Adapter& adapter, const LoraModule& module) {
  const auto a = adapter.a(module);
  const auto b = adapter.b(module);
  std::vector<double> product(uint64_t{module.out} * module.in);
  for (uint32_t rank = 0; rank < adapter.spec().rank(); ++rank) {
    for (uint32_t row = 0; row < module.out; ++row) {
      for (uint32_t column = 0; column < module.in; ++column) {
        product[row * module.in + column] += double{b[rank * module.out + row]} * a[rank * module.in + column];
      }
    }
  }
  return product;
}

double Dot(std::span<const float> x, std::span<const float> y) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += double{x[i]} * y[i];
  return sum;
}

// That `after` is `before` in the factors that the header promises.
void ExpectRefactored(const Adapter& before, const Adapter& after) {
  const uint32_t rank = before.spec().rank();
  ASSERT_EQ(after.spec(), before.spec());
  for (const LoraModule& module : before.spec().modules()) {
    const std::vector<double> expected = ProductOf(before, module);
    const std::vector<double> got = ProductOf(after, module);
    double norm = 0, error = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      norm += expected[i] * expected[i];
      error += (got[i] - expected[i]) * (got[i] - expected[i]);
    }
    EXPECT_LE(std::sqrt(error), 3e-7 * std::sqrt(norm));
    const auto a = [&](uint32_t i) { return after.a(module).subspan(uint64_t{i} * module.in, module.in); };
    const auto b = [&](uint32_t i) { return after.b(module).subspan(uint64_t{i} * module.out, module.out); };
    const double largest = std::sqrt(Dot(b(0), b(0)));
    for (uint32_t i = 0; i < rank; ++i) {
      for (uint32_t j = 0; j <= i; ++j) {
        EXPECT_NEAR(Dot(a(i), a(j)), i == j ? 1 : 0, 1e-6) << i << " " << j;
        EXPECT_NEAR(i == j ? 0 : Dot(b(i), b(j)), 0, 1e-6 * largest * largest) << i << " " << j;
      }
      EXPECT_LE(Dot(b(i), b(i)), Dot(b(i == 0 ? 0 : i - 1), b(i == 0 ? 0 : i - 1)) * (1 + 1e-6));
      EXPECT_GT(*std::ranges::max_element(a(i), {}, [](float value) { return std::abs(value); }), 0);
    }
  }
}

TEST(RefactoringTest, KeepsTheProductAndMakesAOrthonormal) {
  for (const auto& [rank, in, out] : {std::tuple{1u, 1u, 1u}, {1u, 7u, 3u}, {4u, 4u, 9u}, {8u, 40u, 24u}, {8u, 24u, 5u},
                                      {16u, 16u, 16u}, {33u, 64u, 48u}}) {
    const Adapter before = RandomAdapter(SpecOf(rank, in, out), rank);
    const auto after = Refactored(before);
    ASSERT_THAT(after, IsOk());
    ExpectRefactored(before, *after);
  }
}

TEST(RefactoringTest, AZeroBStaysZero) {
  const AdapterSpec spec = SpecOf(4, 16, 8);
  const Adapter before = Adapter::Initial(spec, 3);
  const auto after = Refactored(before);
  ASSERT_THAT(after, IsOk());
  ExpectRefactored(before, *after);
  for (const float value : after->b()) EXPECT_EQ(std::bit_cast<uint32_t>(value), 0u);
  EXPECT_FALSE(std::ranges::equal(before.a(), after->a()));
}

TEST(RefactoringTest, TakesDependentAndZeroRows) {
  const AdapterSpec spec = SpecOf(4, 6, 8);
  for (const bool zero_a : {false, true}) {
    const Adapter source = RandomAdapter(spec, 5);
    std::vector<float> a(source.a().begin(), source.a().end());
    std::vector<float> b(source.b().begin(), source.b().end());
    for (const LoraModule& module : spec.modules()) {
      float* rows = a.data() + module.a_offset;
      // The second row is a multiple of the first, the third zero.
      for (uint32_t i = 0; i < module.in; ++i) rows[module.in + i] = zero_a ? 0 : 2 * rows[i];
      for (uint32_t i = 0; i < module.in; ++i) rows[2 * module.in + i] = 0;
      float* columns = b.data() + module.b_offset;
      std::copy_n(columns, module.out, columns + 3 * module.out);
    }
    if (zero_a) std::ranges::fill(a, 0.0f);
    const Adapter before = *Adapter::Create(spec, a, b);
    const auto after = Refactored(before);
    ASSERT_THAT(after, IsOk());
    ExpectRefactored(before, *after);
  }
}

// Orthogonal columns of one length: any turn of them is a decomposition, and one must be chosen.
TEST(RefactoringTest, TakesEqualSingularValues) {
  const AdapterSpec spec = SpecOf(3, 5, 4);
  std::vector<float> a(spec.a_size());
  std::vector<float> b(spec.b_size());
  for (const LoraModule& module : spec.modules()) {
    for (uint32_t i = 0; i < 3; ++i) a[module.a_offset + i * module.in + i] = i == 2 ? -2.0f : 2.0f;
    for (uint32_t i = 0; i < 3; ++i) b[module.b_offset + i * module.out + 3 - i] = 0.5f;
  }
  const Adapter before = *Adapter::Create(spec, a, b);
  const auto after = Refactored(before);
  ASSERT_THAT(after, IsOk());
  ExpectRefactored(before, *after);
  for (const LoraModule& module : spec.modules()) EXPECT_EQ(Dot(after->b(module), after->b(module)), 3.0);
}

TEST(RefactoringTest, DoingItAgainChangesNoMoreThanRounding) {
  const auto once = Refactored(RandomAdapter(SpecOf(6, 30, 20), 9));
  ASSERT_THAT(once, IsOk());
  const auto twice = Refactored(*once);
  ASSERT_THAT(twice, IsOk());
  for (size_t i = 0; i < once->a().size(); ++i) EXPECT_NEAR(once->a()[i], twice->a()[i], 1e-5);
  for (size_t i = 0; i < once->b().size(); ++i) EXPECT_NEAR(once->b()[i], twice->b()[i], 1e-5);
}

TEST(RefactoringTest, WideRangesOfValuesDoNotHurt) {
  for (const float scale : {1e-38f, 1e-20f, 1e15f}) {
    const AdapterSpec spec = SpecOf(4, 12, 10);
    const Adapter source = RandomAdapter(spec, 6);
    std::vector<float> b(source.b().begin(), source.b().end());
    for (float& value : b) value *= scale;
    const Adapter before = *Adapter::Create(spec, {source.a().begin(), source.a().end()}, b);
    const auto after = Refactored(before);
    ASSERT_THAT(after, IsOk());
    // Tiny values keep only the digits that subnormal floats have.
    if (scale > 1e-30f) {
      ExpectRefactored(before, *after);
    }
  }
}

TEST(RefactoringTest, RefusesWhatHasNoSuchFactors) {
  EXPECT_THAT(CheckRefactorable(SpecOf(5, 5, 2)), IsOk());
  EXPECT_THAT(CheckRefactorable(SpecOf(6, 5, 8)), HasStatus(StatusCode::kInvalidArgument, "q has 5, the rank is 6"));
  EXPECT_THAT(Refactored(RandomAdapter(SpecOf(6, 5, 8), 1)), HasStatus(StatusCode::kInvalidArgument, "rank"));
  const AdapterSpec spec = SpecOf(2, 4, 4);
  const Adapter huge = *Adapter::Create(spec, std::vector<float>(spec.a_size(), 3e38f),
                                        std::vector<float>(spec.b_size(), 3e38f));
  EXPECT_THAT(Refactored(huge), HasStatus(StatusCode::kInvalidArgument, "not finite"));
}

// Every machine must compute these bits: versions are named by their hash. (FLEETUNE_WRITE_GOLDEN=1 writes them if they
// are missing.)
TEST(RefactoringTest, GoldenBits) {
  const std::string path = std::string(FLEETUNE_SOURCE_DIR) + "/tests/golden/adapter_refactoring/rank8.f32";
  const AdapterSpec spec = SpecOf(8, 24, 40);
  const Adapter before = *Adapter::Create(spec, DeriveA(spec, 77), RandomFloats(spec.b_size(), 78));
  const auto after = Refactored(before);
  ASSERT_THAT(after, IsOk());
  Bytes bytes(4 * (spec.a_size() + spec.b_size()));
  std::memcpy(bytes.data(), after->a().data(), after->a().size_bytes());
  std::memcpy(bytes.data() + after->a().size_bytes(), after->b().data(), after->b().size_bytes());
  if (!std::filesystem::exists(path) && std::getenv("FLEETUNE_WRITE_GOLDEN") != nullptr) {
    ASSERT_THAT(WriteFileAtomic(path, bytes), IsOk());
  }
  const auto golden = ReadFile(path, 1 << 20);
  ASSERT_THAT(golden, IsOk());
  EXPECT_TRUE(*golden == bytes) << "not the bits that other machines compute";
}

}  // namespace
}  // namespace fleetune
