#include "coordinator/admin/round_watch.h"

#include "gmock/gmock.h"

namespace fleetune {
namespace {

TEST(RoundWatchTest, LineOfAnOpenAndOfAnEndedRound) {
  v1::RoundSummary round;
  round.set_id("home-3");
  round.set_state("collecting");
  round.set_needed(4);
  round.set_counted(3);
  round.set_invited(8);
  round.set_declined(1);
  round.set_bytes_up(2048);
  round.set_started_unix_ms(10'000);
  round.set_deadline_unix_ms(40'000);
  EXPECT_EQ(RoundLine(round, 12'000),
            "round home-3 (collecting): 3 of 4 needed updates counted, 8 invited, 1 declined, 2.0 KiB up, 2.0 s, 28.0 s left");
  round.set_state("done");
  round.set_ended_unix_ms(15'000);
  EXPECT_EQ(RoundLine(round, 99'000),
            "round home-3 (done): 3 of 4 needed updates counted, 8 invited, 1 declined, 2.0 KiB up, 5.0 s");
}

}  // namespace
}  // namespace fleetune
