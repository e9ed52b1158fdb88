#include "coordinator/core/cell_plan.h"

#include "gtest/gtest.h"

namespace fleetune {
namespace {

TEST(CellPlanTest, AllInOneCellIfTheyFit) {
  EXPECT_EQ(SeatsOfNextCell(8, 3, 256), 8u);
  EXPECT_EQ(SeatsOfNextCell(256, 3, 256), 256u);
}

TEST(CellPlanTest, EvenCellsIfTheyDoNot) {
  EXPECT_EQ(SeatsOfNextCell(257, 3, 256), 129u);
  EXPECT_EQ(SeatsOfNextCell(10, 3, 8), 5u);
  EXPECT_EQ(SeatsOfNextCell(100'000, 3, 4096), 4000u);
}

TEST(CellPlanTest, NeverFewerThanTheSmallest) {
  EXPECT_EQ(SeatsOfNextCell(0, 3, 8), 3u);
  EXPECT_EQ(SeatsOfNextCell(2, 3, 8), 3u);
  EXPECT_EQ(SeatsOfNextCell(9, 5, 8), 5u);
}

// Whatever is left for the last cell is enough for one, if the largest is at least twice the smallest.
TEST(CellPlanTest, NoCellIsLeftWithTooFew) {
  for (uint32_t devices = 3; devices < 500; ++devices) {
    for (const uint32_t largest : {6u, 7u, 10u, 64u}) {
      uint32_t waiting = devices;
      while (waiting > 0) {
        ASSERT_GE(waiting, 3u) << devices << " " << largest;
        waiting -= SeatsOfNextCell(waiting, 3, largest);
      }
    }
  }
}

}  // namespace
}  // namespace fleetune
