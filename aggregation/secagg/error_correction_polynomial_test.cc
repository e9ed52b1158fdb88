#include "aggregation/secagg/error_correction_polynomial.h"

#include <numeric>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune::secagg {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<Field61> Elements(std::vector<uint64_t> values) {
  std::vector<Field61> elements;
  for (const uint64_t value : values) elements.push_back(*Field61::FromU64(value));
  return elements;
}

std::vector<Field61> RandomElements(size_t count, RandomSource& random) {
  std::vector<Field61> elements(count);
  for (Field61& element : elements) element = Field61::Random(random);
  return elements;
}

std::vector<Field61> ValuesAt(std::span<const Field61> points, std::span<const Field61> polynomial) {
  std::vector<Field61> values;
  for (const Field61 point : points) values.push_back(Evaluate(polynomial, point));
  return values;
}

// Makes `count` of the values wrong, at places drawn without repetition.
void Spoil(size_t count, std::vector<Field61>& values, RandomSource& random) {
  std::vector<size_t> places(values.size());
  std::iota(places.begin(), places.end(), size_t{0});
  for (size_t i = 0; i < count; ++i) {
    std::swap(places[i], places[i + random.Below(places.size() - i)]);
    values[places[i]] += Field61::Reduce(1 + random.Below(1000));
  }
}

TEST(PolynomialTest, EvaluatesAndMultipliesRoots) {
  EXPECT_EQ(Evaluate({}, Field61::Reduce(7)).value(), 0u);
  EXPECT_EQ(Evaluate(Elements({3, 2, 1}), Field61::Reduce(10)).value(), 123u);
  EXPECT_EQ(FromRoots({}), Elements({1}));
  EXPECT_EQ(FromRoots(Elements({2, 3})), Elements({6, Field61::kPrime - 5, 1}));
}

TEST(PolynomialTest, InterpolatesWhatItWasEvaluatedFrom) {
  SplitMix64 random(1);
  for (size_t size = 1; size < 30; ++size) {
    const Polynomial polynomial = RandomElements(size, random);
    const std::vector<Field61> points = RandomElements(size + random.Below(3), random);
    EXPECT_EQ(Interpolate(points, ValuesAt(points, polynomial)), polynomial);
  }
  EXPECT_THAT(Interpolate(Elements({1, 2}), Elements({0, 0})), IsEmpty());
  EXPECT_THAT(Interpolate({}, {}), IsEmpty());
}

// Property: right up to the limit of wrong values. Past it, what comes out is never a polynomial that is off more
// values than the limit.
TEST(DecodeReedSolomonTest, CorrectsUpToTheLimit) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SplitMix64 random(seed);
    const size_t dimension = 1 + random.Below(20);
    const size_t count = dimension + random.Below(21);
    const size_t limit = (count - dimension) / 2;
    const Polynomial polynomial = RandomElements(dimension, random);
    const std::vector<Field61> points = RandomElements(count, random);
    for (size_t wrong = 0; wrong <= limit; ++wrong) {
      std::vector<Field61> values = ValuesAt(points, polynomial);
      Spoil(wrong, values, random);
      const std::optional<Polynomial> decoded = DecodeReedSolomon(points, values, dimension);
      ASSERT_TRUE(decoded.has_value()) << seed << " " << wrong;
      ASSERT_EQ(*decoded, polynomial) << seed << " " << wrong;
    }
    if (count == dimension) continue;
    // Random errors past the limit make another code word with a probability of about 1 / 2^61.
    std::vector<Field61> values = ValuesAt(points, polynomial);
    Spoil(limit + 1, values, random);
    ASSERT_FALSE(DecodeReedSolomon(points, values, dimension).has_value()) << seed;
  }
}

TEST(DecodeReedSolomonTest, FindsPolynomialsOfLowDegree) {
  const std::vector<Field61> points = Elements({1, 2, 3, 4, 5, 6, 7});
  for (size_t place = 0; place < points.size(); ++place) {
    std::vector<Field61> values(points.size());
    values[place] = Field61::Reduce(9);
    EXPECT_THAT(DecodeReedSolomon(points, values, 3).value(), IsEmpty());  // zero but for one
    for (Field61& value : values) value += Field61::Reduce(4);
    EXPECT_THAT(DecodeReedSolomon(points, values, 3).value(), ElementsAre(Field61::Reduce(4)));
  }
}

TEST(DecodeReedSolomonDeathTest, ChecksItsCaller) {
  const std::vector<Field61> points = Elements({1, 2});
  EXPECT_DEATH((void)DecodeReedSolomon(points, points, 0), "dimension >= 1");
  EXPECT_DEATH((void)DecodeReedSolomon(points, points, 3), "dimension <= points.size");
  EXPECT_DEATH((void)Interpolate(points, std::span(points).first(1)), "points.size\\(\\) == values.size\\(\\)");
  const std::vector<Field61> twice = Elements({1, 1});
  EXPECT_DEATH((void)Interpolate(twice, points), "value_ != 0");
}

}  // namespace
}  // namespace fleetune::secagg
