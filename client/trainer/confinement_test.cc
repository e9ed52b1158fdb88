#include "client/trainer/confinement.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <semaphore>
#include <thread>

#include "client/trainer/child_fixture.h"

namespace fleetune {
namespace {

constexpr int kNotConfined = 99;

TEST(ConfinementTest, LeavesNoCoreGainsNoRightsAndHasNoNetwork) {
  EXPECT_EQ(InChild([] {
              if (!ConfineTrainer(kIdleNiceness).ok()) return kNotConfined;
              rlimit core{};
              getrlimit(RLIMIT_CORE, &core);
              if (core.rlim_max != 0) return 1;
              if (prctl(PR_GET_DUMPABLE) != 0) return 2;
              if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return 3;
              if (socket(AF_INET, SOCK_STREAM, 0) != -1) return 4;
              return sched_getscheduler(0) == SCHED_IDLE ? 0 : 5;
            }),
            0);
}

TEST(ConfinementTest, EveryThreadStepsBack) {
  EXPECT_EQ(InChild([] {
              std::binary_semaphore confined(0);
              int policy = -1;
              std::thread before([&] {
                confined.acquire();
                policy = sched_getscheduler(0);
              });
              const bool done = ConfineTrainer(kIdleNiceness).ok();
              confined.release();
              before.join();
              return done && policy == SCHED_IDLE ? 0 : 1;
            }),
            0);
}

TEST(ConfinementTest, NicenessZeroChangesNoPolicy) {
  EXPECT_EQ(InChild([] {
              if (!ConfineTrainer(0).ok()) return kNotConfined;
              return sched_getscheduler(0) == SCHED_OTHER ? 0 : 1;
            }),
            0);
}

}  // namespace
}  // namespace fleetune
