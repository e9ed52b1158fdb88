#include "inference/model/rotation.h"

#include <cmath>

#include "gtest/gtest.h"

namespace fleetune {
namespace {

LlamaShape ShapeOf(RopePairing pairing, uint32_t head_size, uint32_t rope_size) {
  LlamaShape shape;
  shape.head_size = head_size;
  shape.rope_size = rope_size;
  shape.rope_base = 10000;
  shape.rope_pairing = pairing;
  return shape;
}

// Where element `first` of a pair and its partner go, in double.
void ExpectRotated(std::span<const float> heads, size_t first, size_t second, float x, float y,
                   double angle) {
  EXPECT_NEAR(heads[first], x * std::cos(angle) - y * std::sin(angle), 1e-5);
  EXPECT_NEAR(heads[second], x * std::sin(angle) + y * std::cos(angle), 1e-5);
}

TEST(Rotation, PairsNeighboursOrHalves) {
  for (const uint32_t position : {0u, 1u, 1000u, 100'000u}) {
    std::vector<float> interleaved = {1, 2, 3, 4, 5, 6, 7, 8};  // two heads of four
    std::vector<float> halves = interleaved;
    Rotation(ShapeOf(RopePairing::kInterleaved, 4, 4)).Apply(position, interleaved);
    Rotation(ShapeOf(RopePairing::kHalves, 4, 4)).Apply(position, halves);
    const double angles[] = {static_cast<double>(position), position * 0.01};
    ExpectRotated(interleaved, 0, 1, 1, 2, angles[0]);
    ExpectRotated(interleaved, 2, 3, 3, 4, angles[1]);
    ExpectRotated(interleaved, 6, 7, 7, 8, angles[1]);
    ExpectRotated(halves, 0, 2, 1, 3, angles[0]);
    ExpectRotated(halves, 1, 3, 2, 4, angles[1]);
    ExpectRotated(halves, 5, 7, 6, 8, angles[1]);
  }
}

TEST(Rotation, LeavesWhatIsBeyondRopeSize) {
  std::vector<float> heads = {1, 2, 3, 4};
  Rotation(ShapeOf(RopePairing::kHalves, 4, 2)).Apply(7, heads);
  ExpectRotated(heads, 0, 1, 1, 2, 7);
  EXPECT_EQ(heads[2], 3);
  EXPECT_EQ(heads[3], 4);
}

}  // namespace
}  // namespace fleetune
