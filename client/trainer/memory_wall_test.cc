#include "client/trainer/memory_wall.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <vector>

#include "client/trainer/child_fixture.h"
#include "tests/support/status_matchers.h"

// Sanitizers keep terabytes of shadow, and have their own answer to deaths.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace fleetune {
namespace {

constexpr uint64_t kMegabyte = 1'000'000;

uint64_t UsedAnd(uint64_t more) { return ReadOwnMemory().used_bytes + more; }

bool CanHave(uint64_t bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory != MAP_FAILED;
}

TEST(MemoryWallTest, WhatIsAllowedCanBeHadAndNoMore) {
  EXPECT_EQ(InChild([] {
              if (!LimitOwnMemory(UsedAnd(100 * kMegabyte)).ok()) return 1;
              if (!CanHave(60 * kMegabyte)) return 2;
              if (CanHave(60 * kMegabyte)) return 3;
              return CanHave(20 * kMegabyte) ? 0 : 4;
            }),
            0);
}

TEST(MemoryWallTest, WhatWasReservedBeforeDoesNotCount) {
  EXPECT_EQ(InChild([] {
              if (!CanHave(500 * kMegabyte)) return 1;
              if (!LimitOwnMemory(UsedAnd(100 * kMegabyte)).ok()) return 2;
              return CanHave(60 * kMegabyte) ? 0 : 3;
            }),
            0);
}

TEST(MemoryWallTest, AnotherProcessIsReadByItsNumber) {
  EXPECT_GT(ReadOwnMemory(getppid()).used_bytes, 0u);
  EXPECT_GT(ReadOwnMemory(getpid()).reserved_bytes, 0u);
  EXPECT_EQ(ReadOwnMemory(0x7fff'ffff).used_bytes, 0u);
}

TEST(MemoryWallTest, LessThanIsUsedAlreadyIsRefused) {
  EXPECT_THAT(LimitOwnMemory(1), HasStatus(absl::StatusCode::kResourceExhausted, "0 MB are allowed"));
  EXPECT_THAT(LimitOwnMemory(0), IsOk());  // no limit
}

TEST(MemoryWallTest, AFailedAllocationIsAnExceptionAsEver) {
  EXPECT_EQ(InChild([] {
              TellDeathsOfWant();
              if (!LimitOwnMemory(UsedAnd(50 * kMegabyte)).ok()) return 1;
              try {
                const std::vector<char> much(80 * kMegabyte);
              } catch (const std::bad_alloc&) {
                return 0;
              }
              return 2;
            }),
            0);
}

TEST(MemoryWallTest, ADeathAfterAFailedAllocationIsOneOfWant) {
  EXPECT_EQ(InChild([] {
              TellDeathsOfWant();
              if (!LimitOwnMemory(UsedAnd(50 * kMegabyte)).ok()) return 1;
              const auto careless = []() noexcept { return std::vector<char>(80 * kMegabyte).size(); };
              return careless() == 0 ? 2 : 3;
            }),
            kOutOfMemoryExit);
}

// malloc has no handler: how little is left tells.
TEST(MemoryWallTest, ADeathNearTheWallIsOneOfWant) {
  for (const int signal_number : {SIGABRT, SIGSEGV, SIGBUS}) {
    EXPECT_EQ(InChild([signal_number] {
                TellDeathsOfWant();
                if (!LimitOwnMemory(UsedAnd(50 * kMegabyte)).ok() || !CanHave(48 * kMegabyte)) return 1;
                raise(signal_number);
                return 2;
              }),
              kOutOfMemoryExit);
  }
}

TEST(MemoryWallTest, OtherDeathsAreWhatTheyAre) {
  EXPECT_EQ(InChild([] {
              TellDeathsOfWant();
              if (!LimitOwnMemory(UsedAnd(500 * kMegabyte)).ok()) return 1;
              std::abort();
            }),
            128 + SIGABRT);
  EXPECT_EQ(InChild([] {
              TellDeathsOfWant();
              raise(SIGSEGV);
              return 1;
            }),
            128 + SIGSEGV);
}

}  // namespace
}  // namespace fleetune

#endif
