#include "aggregation/secagg/field61.h"

#include <algorithm>
#include <deque>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

using absl::StatusCode;

constexpr uint64_t kPrime = Field61::kPrime;

Field61 Element(uint64_t value) { return *Field61::FromU64(value); }

// Values where carries and reductions happen, then random ones.
std::vector<Field61> Samples(uint64_t seed) {
  std::vector<Field61> samples;
  for (const uint64_t edge :
       {uint64_t{0}, uint64_t{1}, uint64_t{2}, uint64_t{1} << 30, (uint64_t{1} << 31) - 1, uint64_t{1} << 52,
        uint64_t{1} << 60, (uint64_t{1} << 60) - 1, kPrime / 2, kPrime / 2 + 1, kPrime - 2, kPrime - 1}) {
    samples.push_back(Element(edge));
  }
  SplitMix64 random(seed);
  for (int i = 0; i < 30; ++i) samples.push_back(Field61::Random(random));
  return samples;
}

// Gives the numbers it was made of, one for each 8 bytes.
class ScriptedRandom final : public RandomSource {
 public:
  explicit ScriptedRandom(std::deque<uint64_t> values) : values_(std::move(values)) {}
  void Fill(std::span<uint8_t> bytes) override {
    ASSERT_EQ(bytes.size(), 8u);
    ASSERT_FALSE(values_.empty());
    for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(values_.front() >> (8 * i));
    values_.pop_front();
  }
  size_t left() const { return values_.size(); }

 private:
  std::deque<uint64_t> values_;
};

TEST(Field61Test, TakesCanonicalValuesOnly) {
  EXPECT_EQ(Field61().value(), 0u);
  EXPECT_EQ(Field61::FromU64(0)->value(), 0u);
  EXPECT_EQ(Field61::FromU64(kPrime - 1)->value(), kPrime - 1);
  for (const uint64_t bad : {kPrime, kPrime + 1, uint64_t{1} << 61, UINT64_MAX}) {
    EXPECT_THAT(Field61::FromU64(bad), HasStatus(StatusCode::kInvalidArgument, "below 2^61 - 1"));
  }
}

TEST(Field61Test, ReduceGivesTheResidueOfAnyValue) {
  SplitMix64 random(1);
  std::vector<uint64_t> values = {0, 1, kPrime - 1, kPrime, kPrime + 1, 2 * kPrime, 7 * kPrime, 8 * kPrime, UINT64_MAX};
  for (int i = 0; i < 100; ++i) values.push_back(random.NextU64());
  for (const uint64_t value : values) EXPECT_EQ(Field61::Reduce(value).value(), value % kPrime);
}

TEST(Field61Test, ReduceWideGivesTheResidueOfAnyValue) {
  using Wide = unsigned __int128;
  SplitMix64 random(7);
  std::vector<Wide> values{0, 1, kPrime - 1, kPrime, ~Wide{0}, Wide{1} << 122, (Wide{1} << 122) - 1};
  for (int i = 0; i < 1000; ++i) values.push_back(Wide{random.NextU64()} << 64 | random.NextU64());
  for (const Wide value : values) {
    EXPECT_EQ(Field61::ReduceWide(value).value(), static_cast<uint64_t>(value % kPrime));
  }
}

TEST(Field61Test, AgreesWithWideIntegers) {
  using Wide = unsigned __int128;
  for (const Field61 a : Samples(1)) {
    for (const Field61 b : Samples(2)) {
      EXPECT_EQ((a + b).value(), static_cast<uint64_t>((Wide{a.value()} + b.value()) % kPrime));
      EXPECT_EQ((a - b).value(), static_cast<uint64_t>((Wide{a.value()} + kPrime - b.value()) % kPrime));
      EXPECT_EQ((a * b).value(), static_cast<uint64_t>(Wide{a.value()} * b.value() % kPrime));
    }
  }
}

TEST(Field61Test, IsAField) {
  const Field61 zero;
  const Field61 one = Element(1);
  for (const Field61 a : Samples(3)) {
    EXPECT_EQ(a + zero, a);
    EXPECT_EQ(a - a, zero);
    EXPECT_EQ(a * one, a);
    EXPECT_EQ(a * zero, zero);
    EXPECT_EQ(a + (zero - a), zero);
    if (a != zero) {
      EXPECT_EQ(a * a.Inverse(), one);
    }
    for (const Field61 b : Samples(4)) {
      EXPECT_EQ(a + b, b + a);
      EXPECT_EQ(a * b, b * a);
      EXPECT_EQ(a - b + b, a);
      for (const Field61 c : {Element(kPrime - 1), Element(kPrime / 2), b * b + a}) {
        EXPECT_EQ((a + b) + c, a + (b + c));
        EXPECT_EQ((a * b) * c, a * (b * c));
        EXPECT_EQ(a * (b + c), a * b + a * c);
      }
    }
  }
}

TEST(Field61Test, AssignmentsComputeInPlace) {
  Field61 a = Element(kPrime - 1);
  a += Element(3);
  EXPECT_EQ(a.value(), 2u);
  a -= Element(5);
  EXPECT_EQ(a.value(), kPrime - 3);
  a *= Element(2);
  EXPECT_EQ(a.value(), kPrime - 6);
}

TEST(Field61Test, PowersAreRepeatedProducts) {
  for (const Field61 a : Samples(5)) {
    Field61 product = Element(1);
    for (uint64_t exponent = 0; exponent < 20; ++exponent) {
      EXPECT_EQ(a.Pow(exponent), product);
      product *= a;
    }
    EXPECT_EQ(a.Pow(kPrime), a);  // Fermat
  }
  EXPECT_EQ(Element(2).Pow(61).value(), 1u);
  EXPECT_EQ(Field61().Pow(0).value(), 1u);
}

TEST(Field61Test, RandomElementsAreRejectedAtThePrimeOnly) {
  ScriptedRandom random({UINT64_MAX, kPrime << 3 | 5, (kPrime - 1) << 3 | 7, 0, 1u << 3});
  EXPECT_EQ(Field61::Random(random).value(), kPrime - 1);
  EXPECT_EQ(random.left(), 2u);
  EXPECT_EQ(Field61::Random(random).value(), 0u);
  EXPECT_EQ(Field61::Random(random).value(), 1u);
}

TEST(Field61Test, RandomElementsFillTheField) {
  SplitMix64 random(6);
  uint64_t ones = 0;
  uint64_t zeros = 0;
  double mean = 0;
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t value = Field61::Random(random).value();
    ASSERT_LT(value, kPrime);
    ones |= value;
    zeros |= ~value & kPrime;
    mean += static_cast<double>(value) / 1e4;
  }
  EXPECT_EQ(ones, kPrime);
  EXPECT_EQ(zeros, kPrime);
  EXPECT_NEAR(mean / static_cast<double>(kPrime), 0.5, 0.015);  // five deviations
}

TEST(InvertAllTest, InvertsEachElement) {
  for (const size_t count : {0u, 1u, 2u, 41u}) {
    std::vector<Field61> elements = Samples(7);
    elements.erase(elements.begin());  // zero
    elements.resize(count);
    std::vector<Field61> inverses = elements;
    InvertAll(inverses);
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(inverses[i], elements[i].Inverse());
  }
}

TEST(Field61DeathTest, ZeroHasNoInverse) {
  EXPECT_DEATH((void)Field61().Inverse(), "value_ != 0");
  std::vector<Field61> elements(3, Element(1));
  elements[1] = Field61();
  EXPECT_DEATH(InvertAll(elements), "value_ != 0");
}

TEST(WipeElementsTest, LeavesZeros) {
  std::vector<Field61> elements = Samples(8);
  WipeElements(elements);
  EXPECT_THAT(elements, testing::Each(Field61()));
  WipeElements({});
}

}  // namespace
}  // namespace fleetune::secagg
