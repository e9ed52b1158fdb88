#include "client/app/serving_facts.h"
#include "client/app/serving_watch.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

class SetClock final : public Clock {
 public:
  TimePoint Now() const override { return now; }
  TimePoint now = FromMillis(1'700'000'000'000);
};

class FakeServer final : public PromptServer {
 public:
  absl::StatusOr<std::vector<std::string>> Refresh(const AdapterShelf&, const ModelShelf&) override {
    ++refreshed;
    stale = false;
    return std::vector<std::string>{"something changed"};
  }
  bool IsStale() const override { return stale; }
  AnswerFigures figures() const override { return answered; }

  int refreshed = 0;
  bool stale = false;
  AnswerFigures answered;
};

class ServingWatchTest : public testing::Test {
 protected:
  ServingWatchTest() {
    auto stores = DaemonStores::Open({.folder = folder_, .settings = {}, .trainer = ""}, SigningKey::Generate(), clock_);
    EXPECT_THAT(stores, IsOk());
    stores_ = std::make_unique<DaemonStores>(*std::move(stores));
  }
  ServingWatch Watch(PromptServer* server) {
    return ServingWatch({.server = server, .stores = stores_.get(), .clock = &clock_, .answer_time = milliseconds(200)});
  }
  std::optional<ServingRecord> Written() { return *stores_->state.ReadServing(); }

  const TempFolder device_;
  const DeviceFolder folder_{device_.path()};
  SetClock clock_;
  FakeServer server_;
  std::unique_ptr<DaemonStores> stores_;
};

TEST_F(ServingWatchTest, ADaemonBeginsWithoutFigures) {
  ASSERT_THAT(stores_->state.WriteServing(ServingRecord{.answers = 9}), IsOk());
  ServingWatch nobody = Watch(nullptr);
  ASSERT_THAT(nobody.Start(), IsOk());
  EXPECT_EQ(Written(), std::nullopt);
  ASSERT_THAT(nobody.Look(0), IsOk());
  nobody.Refresh();
  EXPECT_EQ(Written(), std::nullopt);
  ServingWatch watch = Watch(&server_);
  ASSERT_THAT(watch.Start(), IsOk());
  EXPECT_EQ(Written()->answers, 0u);
  EXPECT_EQ(Written()->since, clock_.now);
  EXPECT_EQ(Written()->answer_time, milliseconds(200));
}

TEST_F(ServingWatchTest, WritesWhatIsNewAndNotTooOften) {
  ServingWatch watch = Watch(&server_);
  ASSERT_THAT(watch.Start(), IsOk());
  server_.answered = {.answers = 2, .in_budget = 1, .read_tokens = 100, .written_tokens = 20,
                      .read_time = milliseconds(500), .write_time = milliseconds(2000)};
  clock_.now += kServingNews - milliseconds(1);
  ASSERT_THAT(watch.Look(0), IsOk());
  EXPECT_EQ(Written()->answers, 0u);
  clock_.now += milliseconds(1);
  ASSERT_THAT(watch.Look(0), IsOk());
  EXPECT_EQ(Written()->answers, 2u);
  EXPECT_EQ(Written()->in_budget, 1u);
  EXPECT_EQ(Written()->reading_speed, 200.0);
  EXPECT_EQ(Written()->writing_speed, 10.0);
  EXPECT_EQ(Written()->since, clock_.now - kServingNews);
  // No answer since, but a training began.
  clock_.now += kServingNews;
  const uint64_t before = Written()->memory_bytes;
  ASSERT_THAT(watch.Look(1'000'000'000), IsOk());
  EXPECT_GE(Written()->memory_bytes, before + 900'000'000);
}

TEST_F(ServingWatchTest, RefreshesWhatIsStale) {
  ServingWatch watch = Watch(&server_);
  ASSERT_THAT(watch.Start(), IsOk());
  ASSERT_THAT(watch.Look(0), IsOk());
  EXPECT_EQ(server_.refreshed, 0);
  server_.stale = true;
  ASSERT_THAT(watch.Look(0), IsOk());
  EXPECT_EQ(server_.refreshed, 1);
}

TEST(ServingFactsTest, SayWhatIsKnown) {
  const DeviceBudget budget{.profile = "raspberry_pi", .memory_bytes = 2'000'000'000};
  ServingRecord serving{.answers = 0, .answer_time = milliseconds(2000), .memory_bytes = 310'000'000,
                        .most_memory_bytes = 512'000'000};
  nlohmann::json facts = ServingFacts(serving, budget);
  EXPECT_EQ(facts["share_in_budget"], nullptr);
  EXPECT_EQ(facts["decode_tokens_per_second"], nullptr);
  EXPECT_EQ(facts["memory_budget_megabytes"], 2000);
  EXPECT_THAT(facts["answer_words"].get<std::string>(), HasSubstr("none since"));
  EXPECT_EQ(facts["memory_words"], "310 MB of 2000 MB now; the daemon had 512 MB at most");
  serving.answers = 8;
  serving.in_budget = 6;
  serving.reading_speed = 410.25;
  serving.writing_speed = 31.5;
  facts = ServingFacts(serving, budget);
  EXPECT_EQ(facts["share_in_budget"], 0.75);
  EXPECT_EQ(facts["prefill_tokens_per_second"], 410.25);
  EXPECT_EQ(facts["decode_tokens_per_second"], 31.5);
  EXPECT_THAT(facts["answer_words"].get<std::string>(),
              HasSubstr("75.0 % of them within 2000 ms; reads 410.2 tokens/s; writes 31.5 tokens/s"));
}

}  // namespace
}  // namespace fleetune
