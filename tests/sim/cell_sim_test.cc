// The simulation of secure rounds itself: it repeats, it sees both outcomes, and it catches planted bugs. Its many
// seeds are run by cell_sim.

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim/cell_world.h"

namespace fleetune {
namespace {

TEST(CellWorldTest, TheSameSeedGivesTheSameRun) {
  for (const uint64_t seed : {1, 2, 3, 4, 5}) {
    CellWorld once(ShapeOf(seed));
    once.Run();
    CellWorld again(ShapeOf(seed));
    again.Run();
    EXPECT_EQ(once.messages_hash(), again.messages_hash()) << "seed " << seed;
    EXPECT_EQ(once.counts().messages, again.counts().messages) << "seed " << seed;
    EXPECT_GT(once.counts().messages, 0u);
  }
}

TEST(CellWorldTest, ARunWithoutFaultsCountsEverybody) {
  for (const bool malicious : {false, true}) {
    CellShape shape;
    shape.devices = shape.places = shape.needed = 8;
    shape.malicious = malicious;
    CellWorld world(shape);
    world.Run();
    EXPECT_THAT(world.violations(), testing::IsEmpty());
    EXPECT_EQ(world.counts().done, 1u);
    EXPECT_EQ(world.cells().finished, 2u);
    EXPECT_EQ(world.cells().failed, 0u);
  }
}

struct PlantedCase {
  Planted planted;
  const char* complaint;  // part of what the books say to it
};
class PlantedTest : public ::testing::TestWithParam<PlantedCase> {};

TEST_P(PlantedTest, IsCaught) {
  constexpr uint64_t kSeeds = 60;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const CellShape shape = ShapeOf(seed);
    if (shape.devices > 12) continue;
    CellWorld world(shape, GetParam().planted);
    world.Run();
    for (const std::string& what : world.violations()) {
      if (what.find(GetParam().complaint) == std::string::npos) continue;
      std::cout << NameOf(GetParam().planted) << " is caught by seed " << seed << ": " << what << "\n";
      return;
    }
  }
  FAIL() << "none of " << kSeeds << " seeds catches " << NameOf(GetParam().planted);
}

constexpr PlantedCase kPlanted[] = {
    {Planted::kForgottenInput, "its sum is not of"}, {Planted::kAddedTwice, "its sum is not of"},
    {Planted::kOlderSave, "answers a second view"},  {Planted::kOlderSave, "releases both shares"},
    {Planted::kSmallerView, "speaks of two views"},  {Planted::kWrongSign, "its sum is not of"}};
INSTANTIATE_TEST_SUITE_P(Bugs, PlantedTest, testing::ValuesIn(kPlanted));

}  // namespace
}  // namespace fleetune
