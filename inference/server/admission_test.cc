#include "inference/server/admission.h"

#include <optional>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

void UntilWaiting(const Admission& admission, uint32_t count) {
  while (admission.waiting() != count) std::this_thread::yield();
}

TEST(Admission, LetsInAsManyAsRunAndRefusesWhenNoMoreMayWait) {
  Admission admission(2, 0);
  auto first = admission.Enter();
  auto second = admission.Enter();
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(second, IsOk());
  EXPECT_THAT(admission.Enter(), HasStatus(StatusCode::kResourceExhausted, "2 requests are being answered"));
  { const Admission::Turn over = *std::move(first); }
  EXPECT_EQ(admission.running(), 1u);
  EXPECT_THAT(admission.Enter(), IsOk());
}

TEST(Admission, WhoWaitsComesInOrder) {
  Admission admission(1, 2);
  std::optional<Admission::Turn> turn(*admission.Enter());
  Mutex mutex;
  std::vector<int> order;
  const auto wait = [&](int number) {
    const auto mine = admission.Enter();
    EXPECT_THAT(mine, IsOk());
    MutexLock lock(&mutex);
    order.push_back(number);
  };
  std::thread first(wait, 1);
  UntilWaiting(admission, 1);
  std::thread second(wait, 2);
  UntilWaiting(admission, 2);
  EXPECT_THAT(admission.Enter(), HasStatus(StatusCode::kResourceExhausted, "2 wait"));
  turn.reset();
  first.join();
  second.join();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  EXPECT_EQ(admission.running(), 0u);
}

TEST(Admission, ClosingTellsWhoWaits) {
  Admission admission(1, 1);
  const auto turn = admission.Enter();
  std::thread waiter([&] { EXPECT_THAT(admission.Enter(), HasStatus(StatusCode::kUnavailable, "stopping")); });
  UntilWaiting(admission, 1);
  admission.Close();
  waiter.join();
  EXPECT_THAT(admission.Enter(), HasStatus(StatusCode::kUnavailable, "stopping"));
}

}  // namespace
}  // namespace fleetune
