#include "client/app/settings.h"

#include <thread>

#include "client/core/profile.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using ::testing::ElementsAre;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(SettingsTest, EveryKeyHasADefault) {
  const auto settings = ParseSettings("");
  ASSERT_THAT(settings, IsOk());
  EXPECT_EQ(settings->threads, 0u);
  EXPECT_THAT(Validate(settings->governor), IsOk());
  TempFolder device;
  EXPECT_THAT(LoadSettings(device.path() + "/client.toml"), IsOk());
  EXPECT_EQ(settings->personal, std::nullopt);
  EXPECT_EQ(ParseSettings("[personal]")->personal, PersonalSettings{});
}

TEST(SettingsTest, ReadsAndRefusesHowAPersonalAdapterIsTrained) {
  const auto settings = ParseSettings("[personal]\ntask = \"household\"\nrank = 8\nalpha = 16\ndata_tag = \"notes\"\n"
                                      "epochs = 2.5\nlearning_rate = 0.01\nsequence_length = 64\nheld_out_share = 0.3\n");
  ASSERT_THAT(settings, IsOk());
  EXPECT_EQ(settings->personal, (PersonalSettings{.task = "household",
                                                  .rank = 8,
                                                  .alpha = 16,
                                                  .data_tag = "notes",
                                                  .epochs = 2.5,
                                                  .learning_rate = 0.01,
                                                  .sequence_length = 64,
                                                  .held_out_share = 0.3}));
  for (const char* wrong : {"rank = 0", "rank = 65", "alpha = 0", "epochs = 0", "learning_rate = 2", "sequence_length = 7",
                            "held_out_share = 0", "upload = true"}) {
    EXPECT_THAT(ParseSettings(std::string("[personal]\n") + wrong), HasStatus(kInvalid, "line 2")) << wrong;
  }
}

TEST(SettingsTest, ReadsEveryKey) {
  const auto settings = ParseSettings(R"(
profile = "raspberry_pi"
memory_megabytes = 1500
threads = 2
max_rank = 4
models = ["/a.gguf", "/b.gguf"]
trainer = "/usr/libexec/fleetune-trainer"
[governor]
min_battery_percent_unplugged = 60
min_battery_percent_plugged = 10
max_celsius = 70
max_load_per_cpu = 1.5
memory_reserve_megabytes = 256
train_from = "22:00"
train_until = "06:30"
[privacy]
min_cohort = 10
min_survivors = 8
min_threshold = 5
min_adversarial = 0.05
max_corruption = 0.3
malicious_profile_only = true
refuse_unmasked = true
min_noise_multiplier = 0.5
epsilon_limit = 3
epsilon_delta = 1e-7
[api]
listen = "[::1]:8081"
keep_feedback = true
feedback_tag = "home"
prompt_cache_megabytes = 10
prompt_cache_disk_megabytes = 0
preference_tag = "judged"
personal_by_default = false
cache_type = "q8_0"
)");
  ASSERT_THAT(settings, IsOk());
  EXPECT_EQ(settings->profile, "raspberry_pi");
  EXPECT_EQ(settings->memory_megabytes, 1500u);
  EXPECT_EQ(settings->threads, 2u);
  EXPECT_EQ(settings->largest_rank, 4u);
  EXPECT_THAT(settings->models, ElementsAre("/a.gguf", "/b.gguf"));
  EXPECT_EQ(settings->trainer, "/usr/libexec/fleetune-trainer");
  EXPECT_EQ(settings->governor.min_battery_percent_unplugged, 60);
  EXPECT_EQ(settings->governor.max_celsius, 70);
  EXPECT_EQ(settings->governor.memory_reserve_bytes, 256'000'000u);
  EXPECT_EQ(settings->governor.from_minute, 22 * 60);
  EXPECT_EQ(settings->governor.to_minute, 6 * 60 + 30);
  EXPECT_EQ(settings->privacy.session.min_cohort, 10u);
  EXPECT_EQ(settings->privacy.session.min_survivors, 8u);
  EXPECT_EQ(settings->privacy.session.min_threshold, 5u);
  EXPECT_EQ(settings->privacy.session.min_adversarial, 0.05);
  EXPECT_EQ(settings->privacy.session.max_corruption, 0.3);
  EXPECT_TRUE(settings->privacy.session.malicious_profile_only);
  EXPECT_TRUE(settings->privacy.refuse_unmasked);
  EXPECT_EQ(settings->privacy.session.min_noise_multiplier, 0.5);
  EXPECT_EQ(settings->privacy.limit.epsilon, 3);
  EXPECT_EQ(settings->privacy.limit.delta, 1e-7);
  EXPECT_EQ(settings->api.listen, "[::1]:8081");
  EXPECT_TRUE(settings->api.keep_feedback);
  EXPECT_EQ(settings->api.feedback_tag, "home");
  EXPECT_EQ(settings->api.prompt_cache_megabytes, 10u);
  EXPECT_EQ(settings->api.prompt_cache_disk_megabytes, 0u);
  EXPECT_EQ(settings->api.preference_tag, "judged");
  EXPECT_FALSE(settings->api.personal_by_default);
  EXPECT_EQ(settings->api.cache_type, TensorType::kQ8_0);
}

TEST(SettingsTest, TheApiIsOffAndKeepsNothingUnlessToldTo) {
  const auto settings = ParseSettings("");
  ASSERT_THAT(settings, IsOk());
  EXPECT_EQ(settings->api.listen, "");
  EXPECT_EQ(settings->api.preference_tag, "preferences");
  EXPECT_TRUE(settings->api.personal_by_default);
  EXPECT_EQ(ParseSettings("[api]\npreference_tag = \"\"")->api.preference_tag, "");
  EXPECT_THAT(ParseSettings("[api]\npreference_tag = \"" + std::string(65, 'a') + "\""), HasStatus(kInvalid, "api.preference_tag"));
  EXPECT_THAT(ParseSettings("[api]\npersonal_by_default = 1"), HasStatus(kInvalid, "api.personal_by_default"));
  EXPECT_FALSE(settings->api.keep_feedback);
  EXPECT_EQ(settings->api.cache_type, TensorType::kF16);
  EXPECT_THAT(ParseSettings("[api]\ncache_type = \"q4_0\""),
              HasStatus(kInvalid, "api.cache_type: expected \"f16\" or \"q8_0\""));
  EXPECT_THAT(ParseSettings("[api]\nlisten = \"0.0.0.0:8080\""), HasStatus(kInvalid, "line 2: api.listen: expected an address of this machine"));
  EXPECT_THAT(ParseSettings("[api]\nfeedback_tag = \"\""), HasStatus(kInvalid, "api.feedback_tag"));
  EXPECT_THAT(ParseSettings("[api]\nkeep_feedback = 1"), HasStatus(kInvalid, "api.keep_feedback"));
  EXPECT_THAT(ParseSettings("[api]\nport = 1"), HasStatus(kInvalid, "unknown key \"api.port\""));
}

TEST(SettingsTest, UnknownKeysAreRefusedByNameAndLine) {
  EXPECT_THAT(ParseSettings("threads = 1\nthreds = 2\n"), HasStatus(kInvalid, "line 2: unknown key \"threds\""));
  EXPECT_THAT(ParseSettings("[governor]\nmax = 1\n"), HasStatus(kInvalid, "line 2: unknown key \"governor.max\""));
  EXPECT_THAT(ParseSettings("\n[govnor]\n"), HasStatus(kInvalid, "line 2: unknown key \"govnor\""));
}

TEST(SettingsTest, PrivacyIsRefusedByNameAndLine) {
  EXPECT_THAT(ParseSettings("[privacy]\nmin_cohort = 3\nmin = 1\n"),
              HasStatus(kInvalid, "line 3: unknown key \"privacy.min\""));
  EXPECT_THAT(ParseSettings("privacy = 1"), HasStatus(kInvalid, "privacy: expected a table"));
  EXPECT_THAT(ParseSettings("[privacy]\nrefuse_unmasked = 1"),
              HasStatus(kInvalid, "line 2: privacy.refuse_unmasked: expected true or false"));
  EXPECT_THAT(ParseSettings("[privacy]\nmin_cohort = 2"), HasStatus(kInvalid, "from 3 to 4096"));
  EXPECT_THAT(ParseSettings("[privacy]\nmin_survivors = 4096"), IsOk());
  EXPECT_THAT(ParseSettings("[privacy]\nmin_survivors = 4097"), HasStatus(kInvalid, "privacy.min_survivors"));
  EXPECT_THAT(ParseSettings("[privacy]\nmin_threshold = 1"), HasStatus(kInvalid, "privacy.min_threshold"));
  EXPECT_THAT(ParseSettings("[privacy]\nmin_adversarial = 0.6"), HasStatus(kInvalid, "privacy.min_adversarial"));
  EXPECT_THAT(ParseSettings("[privacy]\nepsilon_limit = 0"), HasStatus(kInvalid, "privacy.epsilon_limit"));
  EXPECT_THAT(ParseSettings("[privacy]\nepsilon_limit = 1001"), HasStatus(kInvalid, "privacy.epsilon_limit"));
  EXPECT_THAT(ParseSettings("[privacy]\nepsilon_delta = 0.1"), HasStatus(kInvalid, "privacy.epsilon_delta"));
  EXPECT_THAT(ParseSettings("[privacy]\nmin_noise_multiplier = -1"), HasStatus(kInvalid, "min_noise_multiplier"));
  EXPECT_THAT(ParseSettings("[privacy]\nmax_corruption = nan"), HasStatus(kInvalid, "privacy.max_corruption"));
}

TEST(SettingsTest, WrongTypesAreRefusedByNameAndLine) {
  EXPECT_THAT(ParseSettings("threads = \"two\""), HasStatus(kInvalid, "line 1: threads: expected a whole number"));
  EXPECT_THAT(ParseSettings("threads = 1.5"), HasStatus(kInvalid, "threads"));
  EXPECT_THAT(ParseSettings("models = \"a.gguf\""), HasStatus(kInvalid, "models: expected a list"));
  EXPECT_THAT(ParseSettings("models = [1]"), HasStatus(kInvalid, "models: expected a list"));
  EXPECT_THAT(ParseSettings("trainer = 1"), HasStatus(kInvalid, "trainer: expected text"));
  EXPECT_THAT(ParseSettings("governor = 1"), HasStatus(kInvalid, "governor: expected a table"));
  EXPECT_THAT(ParseSettings("[governor]\nmax_celsius = \"hot\""), HasStatus(kInvalid, "line 2: governor.max_celsius"));
  EXPECT_THAT(ParseSettings("profile = \"toaster\""), HasStatus(kInvalid, "raspberry_pi"));
  EXPECT_THAT(ParseSettings("threads = = 1"), HasStatus(kInvalid, "line 1"));
}

TEST(SettingsTest, LimitsHoldOnBothSides) {
  EXPECT_THAT(ParseSettings("memory_megabytes = 16"), IsOk());
  EXPECT_THAT(ParseSettings("memory_megabytes = 15"), HasStatus(kInvalid, "from 16 to 1000000"));
  EXPECT_THAT(ParseSettings("memory_megabytes = 1000000"), IsOk());
  EXPECT_THAT(ParseSettings("memory_megabytes = 1000001"), HasStatus(kInvalid, "memory_megabytes"));
  EXPECT_THAT(ParseSettings("threads = 1024"), IsOk());
  EXPECT_THAT(ParseSettings("threads = 1025"), HasStatus(kInvalid, "threads"));
  EXPECT_THAT(ParseSettings("threads = -1"), HasStatus(kInvalid, "threads"));
  EXPECT_EQ(ParseSettings("checkpoint_steps = 1000000")->checkpoint_steps, 1'000'000u);
  EXPECT_THAT(ParseSettings("checkpoint_steps = 1000001"), HasStatus(kInvalid, "checkpoint_steps"));
  EXPECT_EQ(ParseSettings("answer_milliseconds = 3600000")->answer_milliseconds, 3'600'000u);
  EXPECT_THAT(ParseSettings("answer_milliseconds = 3600001"), HasStatus(kInvalid, "answer_milliseconds"));
  EXPECT_THAT(ParseSettings("checkpoint_steps = -1"), HasStatus(kInvalid, "checkpoint_steps"));
  EXPECT_EQ(ParseSettings("")->trainer_niceness, 19);
  EXPECT_EQ(ParseSettings("trainer_niceness = 0")->trainer_niceness, 0);
  EXPECT_EQ(ParseSettings("trainer_niceness = 19")->trainer_niceness, 19);
  EXPECT_THAT(ParseSettings("trainer_niceness = 20"), HasStatus(kInvalid, "from 0 to 19"));
  EXPECT_THAT(ParseSettings("trainer_niceness = -1"), HasStatus(kInvalid, "trainer_niceness"));
  EXPECT_THAT(ParseSettings("max_rank = 256"), IsOk());
  EXPECT_THAT(ParseSettings("max_rank = 257"), HasStatus(kInvalid, "max_rank"));
  EXPECT_THAT(ParseSettings("[governor]\nmax_celsius = nan"), HasStatus(kInvalid, "max_celsius"));
}

TEST(SettingsTest, TimesOfDay) {
  auto with = [](const std::string& time) { return ParseSettings("[governor]\ntrain_from = \"" + time + "\""); };
  EXPECT_EQ(with("00:00")->governor.from_minute, 0);
  EXPECT_EQ(with("23:59")->governor.from_minute, 1439);
  for (const char* wrong : {"24:00", "12:60", "1:00", "12:0", "12-00", "12:00x", "", "-1:00", "+1:00"}) {
    EXPECT_THAT(with(wrong), HasStatus(kInvalid, "train_from")) << wrong;
  }
}

TEST(SettingsTest, TheBudgetIsTheSmallerOfProfileAndSetting) {
  EXPECT_EQ(BudgetOf({}, "")->profile, "edge_server");
  EXPECT_EQ(BudgetOf({}, "raspberry_pi")->memory_bytes, 2'000'000'000u);
  ClientSettings settings;
  settings.memory_megabytes = 3000;
  EXPECT_EQ(BudgetOf(settings, "raspberry_pi")->memory_bytes, 2'000'000'000u);
  EXPECT_EQ(BudgetOf(settings, "mobile_device")->memory_bytes, 3'000'000'000u);
  settings.profile = "nvidia_jetson";
  EXPECT_EQ(BudgetOf(settings, "raspberry_pi")->profile, "nvidia_jetson");
  EXPECT_EQ(BudgetOf({}, "raspberry_pi")->threads,
            TrainingThreads(*FindDeviceProfile("raspberry_pi"), std::thread::hardware_concurrency()));
  EXPECT_EQ(BudgetOf({}, "")->answer_time, std::chrono::milliseconds(200));
  EXPECT_EQ(BudgetOf({}, "raspberry_pi")->answer_time, std::chrono::milliseconds(2000));
  settings.answer_milliseconds = 9000;  // the owner's word
  EXPECT_EQ(BudgetOf(settings, "raspberry_pi")->answer_time, std::chrono::milliseconds(9000));
  settings.threads = 3;  // so, too
  EXPECT_EQ(BudgetOf(settings, "raspberry_pi")->threads, 3u);
  EXPECT_THAT(BudgetOf({}, "toaster"), HasStatus(kInvalid, "toaster"));
}

}  // namespace
}  // namespace fleetune
