#include "coordinator/admin/privacy_words.h"

#include "gtest/gtest.h"

namespace fleetune {
namespace {

TEST(PrivacyWordsTest, SaysWhatWasSpentAndWhyNothingMoreIs) {
  v1::RoundSummary round;
  round.set_charged_cells(2);
  v1::PrivacySummary& privacy = *round.mutable_privacy();
  privacy.set_epsilon_limit(8);
  privacy.set_delta(1e-6);
  privacy.set_cell_epsilon(3.25);
  privacy.set_cells(4);
  privacy.set_epsilon(7.123);
  privacy.set_outsider_epsilon(0.5);
  EXPECT_EQ(SpentInWords(privacy),
            "7.123 of 8 for the device that was in most cells, 4 (delta 1e-06); 0.5 to outsiders");
  EXPECT_EQ(RoundSpentInWords(round), "3.25 for each cell that a device is in; 2 charged in this round");
  privacy.set_no_round("no further round starts");
  EXPECT_EQ(SpentInWords(privacy),
            "7.123 of 8 for the device that was in most cells, 4 (delta 1e-06); 0.5 to outsiders; no further round starts");
}

}  // namespace
}  // namespace fleetune
