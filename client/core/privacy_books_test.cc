#include "client/core/privacy_books.h"

#include <limits>
#include <vector>

#include "aggregation/privacy/rdp_accountant.h"
#include "client/core/agent_fixture.h"
#include "gtest/gtest.h"
#include "lora/plan/cell_noise.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

constexpr uint64_t kParameters = 1000;

class FakeStore final : public ChargeStore {
 public:
  absl::StatusOr<std::vector<PrivacyCharge>> Charges() override {
    if (!failure.ok()) return failure;
    return charges;
  }
  absl::Status AppendCharge(const PrivacyCharge& charge) override {
    if (!append_failure.ok()) return append_failure;
    for (const PrivacyCharge& known : charges) {
      if (known.session == charge.session) return absl::OkStatus();
    }
    charges.push_back(charge);
    return absl::OkStatus();
  }
  std::vector<PrivacyCharge> charges;
  absl::Status failure;
  absl::Status append_failure;
};

class FixedClock final : public Clock {
 public:
  TimePoint Now() const override { return FromMillis(5); }
};

Digest Session(uint8_t number) {
  Digest session;
  session.bytes[7] = number;
  return session;
}

TrainingPlan NoisyPlan(const std::string& task = "t", double limit = 100) {
  TrainingPlan plan = agent_fixture::PlanOf(task);
  plan.privacy = {.noise_multiplier = 3, .device_epsilon_limit = limit};
  return plan;
}

class PrivacyBooksTest : public testing::Test {
 protected:
  PrivacyBooks Books(double epsilon = 8) { return PrivacyBooks(&store_, &clock_, {.epsilon = epsilon, .delta = 1e-6}); }

  FakeStore store_;
  FixedClock clock_;
};

TEST_F(PrivacyBooksTest, ACellIsChargedAsThePlanSays) {
  PrivacyBooks books = Books();
  EXPECT_THAT(books.Charge(NoisyPlan(), kParameters, Session(1)), IsOk());
  ASSERT_EQ(store_.charges.size(), 1u);
  EXPECT_EQ(store_.charges[0].task, "t");
  EXPECT_EQ(store_.charges[0].session, Session(1));
  EXPECT_EQ(store_.charges[0].release, PlanNoise(NoisyPlan(), kParameters)->release);
  EXPECT_EQ(store_.charges[0].time_unix_ms, 5);
  EXPECT_THAT(books.Charge(NoisyPlan(), kParameters, Session(1)), IsOk());
  EXPECT_EQ(store_.charges.size(), 1u) << "the same session again";
}

TEST_F(PrivacyBooksTest, PlansWithoutNoiseAreNotAccountedFor) {
  TrainingPlan plan = NoisyPlan();
  plan.privacy.noise_multiplier = 0;
  store_.failure = absl::DataLossError("not even read");
  EXPECT_THAT(Books().CanAfford(plan, kParameters), IsOk());
  EXPECT_THAT(Books().Charge(plan, kParameters, Session(1)), IsOk());
}

TEST_F(PrivacyBooksTest, TheOwnersLimitHoldsOverAllTasks) {
  PrivacyBooks books = Books(4);
  uint8_t cells = 0;  // charged
  for (;;) {
    const TrainingPlan plan = NoisyPlan(cells % 2 == 0 ? "a" : "b");
    if (!books.CanAfford(plan, kParameters).ok()) break;
    ASSERT_LT(++cells, 100);
    ASSERT_THAT(books.Charge(plan, kParameters, Session(cells)), IsOk());
  }
  EXPECT_GT(cells, 1);
  const SkellamRelease release = store_.charges[0].release;
  EXPECT_LE(EpsilonOfSkellam(release, cells, 1e-6)->epsilon, 4);
  EXPECT_GT(EpsilonOfSkellam(release, cells + 1u, 1e-6)->epsilon, 4);
  const absl::Status refused = books.Charge(NoisyPlan("c"), kParameters, Session(200));
  EXPECT_THAT(refused, HasStatus(StatusCode::kResourceExhausted, "this device: the privacy limit stops this"));
  EXPECT_EQ(store_.charges.size(), cells);
  // What was paid for stays paid for: a resend is not a new cell.
  EXPECT_THAT(books.Charge(NoisyPlan("a"), kParameters, Session(1)), IsOk());
  EXPECT_NEAR(SpentOn({.epsilon = 4, .delta = 1e-6}, store_.charges)->epsilon,
              EpsilonOfSkellam(release, cells, 1e-6)->epsilon, 1e-9);
  EXPECT_EQ(SpentOn({.epsilon = 4, .delta = 1e-6}, store_.charges, "a")->cells, (cells + 1u) / 2);
}

TEST_F(PrivacyBooksTest, TheTasksLimitHoldsForTheTask) {
  PrivacyBooks books = Books(1000);
  const TrainingPlan tight = NoisyPlan("tight", 2);
  EXPECT_THAT(books.Charge(tight, kParameters, Session(1)), IsOk());
  EXPECT_THAT(books.CanAfford(tight, kParameters),
              HasStatus(StatusCode::kResourceExhausted, "the task's limit: the privacy limit stops this"));
  EXPECT_THAT(books.CanAfford(NoisyPlan("other", 2), kParameters), IsOk());
}

TEST_F(PrivacyBooksTest, AStoreThatFailsIsNoLimit) {
  PrivacyBooks books = Books();
  store_.append_failure = absl::ResourceExhaustedError("disk full");
  EXPECT_THAT(books.Charge(NoisyPlan(), kParameters, Session(1)), HasStatus(StatusCode::kUnavailable, "disk full"));
  store_.failure = absl::DataLossError("damaged");
  EXPECT_THAT(books.CanAfford(NoisyPlan(), kParameters), HasStatus(StatusCode::kUnavailable, "damaged"));
}

TEST_F(PrivacyBooksTest, APlanWhoseNoiseMakesNoSenseIsRefused) {
  TrainingPlan plan = NoisyPlan();
  plan.encoding.lane_bits = 16;
  plan.privacy.rounding_overhead = 1e-4;
  EXPECT_THAT(Books().CanAfford(plan, 10'000'000), HasStatus(StatusCode::kInvalidArgument, "lane_bits = 16"));
}

}  // namespace
}  // namespace fleetune
