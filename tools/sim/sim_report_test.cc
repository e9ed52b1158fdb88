#include "tools/sim/sim_report.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/tiny_llama.h"
#include "tools/sim/quadratic_trainer.h"

namespace fleetune {
namespace {

absl::StatusOr<SimTask> TinySimTask(const std::string& toml) {
  return SimTaskOver(TinyLlama{}.ToBytes(), toml, false);
}

SimOutcome SomeOutcome() {
  const Adapter adapter = Adapter::Initial(TinySimTask(QuadraticTask(2, ""))->adapter, 1);
  SimOutcome outcome{.base = {.held_out = 4, .tuning = 4.5}, .fleet = FleetResult{.rounds = {}, .adapter = adapter}};
  outcome.fleet->rounds = {{.number = 1, .losses = {.held_out = 3.5}, .counted = 2, .tokens = 10},
                           {.number = 2, .losses = {.held_out = 3.1}, .counted = 2, .tokens = 12}};
  outcome.pooled = {{.learning_rate = 0.1, .losses = {.held_out = 3, .tuning = 3.2}, .tokens = 22},
                    {.learning_rate = 0.2, .losses = {.held_out = 2.9, .tuning = 3.3}, .tokens = 22}};
  return outcome;
}

TEST(SimReportTest, TheGainIsThatOfTheLastRoundAgainstTheBestPooled) {
  SimOutcome outcome = SomeOutcome();
  EXPECT_NEAR(*GainShare(outcome), 0.9, 1e-12);
  outcome.pooled.clear();
  EXPECT_EQ(GainShare(outcome), std::nullopt);
  outcome = SomeOutcome();
  outcome.fleet.reset();
  EXPECT_EQ(GainShare(outcome), std::nullopt);
  outcome = SomeOutcome();
  outcome.base.held_out = 3;  // pooled training gained nothing
  EXPECT_EQ(GainShare(outcome), std::nullopt);
}

TEST(SimReportTest, TheSummaryHasEveryRound) {
  const SimTask task = *TinySimTask(QuadraticTask(2, ""));
  const nlohmann::ordered_json json =
      SummaryOf({.base = "models/tiny.gguf", .seed = 7}, task, QuadraticData(2), SomeOutcome());
  EXPECT_EQ(json.at("devices"), 2);
  EXPECT_EQ(json.at("base"), "tiny.gguf");
  EXPECT_EQ(json.at("trained"), "b");
  EXPECT_EQ(json.at("trained_parameters"), task.adapter.b_size());
  EXPECT_EQ(json.at("base_held_out_loss"), 4.0);
  ASSERT_EQ(json.at("rounds").size(), 2u);
  EXPECT_EQ(json.at("rounds")[1].at("held_out_loss"), 3.1);
  EXPECT_EQ(json.at("tokens"), 22);
  EXPECT_EQ(json.at("pooled").at("learning_rate"), 0.1);
  EXPECT_EQ(json.at("pooled_tried").size(), 2u);
  EXPECT_NEAR(json.at("gain_share"), 0.9, 1e-12);
}

TEST(SimReportTest, APipeGetsWholeLines) {
  std::FILE* file = std::tmpfile();
  SimReport report(file);
  report.Busy("never seen");
  report.Round({.number = 1, .losses = {.held_out = 3.5}});
  report.Pooled({.learning_rate = 0.1, .losses = {.held_out = 3}, .tokens = 5});
  report.End(SomeOutcome());
  std::rewind(file);
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find("never"), std::string::npos);
  EXPECT_NE(text.find("3.5000"), std::string::npos);
  EXPECT_NE(text.find("90.0 % of what pooled training gains"), std::string::npos);
}

}  // namespace
}  // namespace fleetune
