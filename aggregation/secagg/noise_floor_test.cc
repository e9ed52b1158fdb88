// What sessions do for differential privacy: no sum with too little noise in it, and noise that nobody else knows.

#include <set>
#include <vector>

#include "aggregation/secagg/session_fixture.h"
#include "aggregation/secagg/view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

constexpr auto kFailed = absl::StatusCode::kFailedPrecondition;

// Ten devices of which one may vanish, whatever min_survivors (3) says.
SessionConfig NoisyConfig(Profile profile = Profile::kHonestButCurious) {
  SessionConfig config = TestConfig(10, profile);
  config.noise_multiplier = 1;
  config.noise_delta = 1e-6;
  return config;
}

TEST(NoiseFloorTest, FewestInputsFollowFromDropout) {
  const SessionConfig config = NoisyConfig();
  EXPECT_EQ(FewestInputs(config, 10), 9u);
  EXPECT_EQ(FewestInputs(config, 11), 10u);
  EXPECT_EQ(FewestInputs(config, 4096), 3687u);
  SessionConfig strict = config;
  strict.min_cohort = strict.min_survivors = 10;
  EXPECT_EQ(FewestInputs(strict, 10), 10u);
  EXPECT_EQ(FewestInputs(TestConfig(10), 10), 3u);
}

TEST(NoiseFloorTest, ACellWithTooFewInputsFails) {
  for (const uint32_t missing : {1u, 2u}) {
    SessionFixture session(NoisyConfig(), 10);
    session.Advertise();
    session.ShareKeys();
    session.MaskInputs(missing == 1 ? std::set<uint32_t>{4} : std::set<uint32_t>{4, 7});
    if (missing == 2) {
      EXPECT_EQ(session.server.phase(), ServerPhase::kFailed);
      EXPECT_EQ(session.server.failure(), "8 inputs arrived, 9 are needed");
      continue;
    }
    session.Unmask();
    const auto opened = session.Open();
    ASSERT_THAT(opened, IsOk());
    EXPECT_EQ(*opened, session.ExpectedSum());
  }
}

TEST(NoiseFloorTest, ACellInWhichTooFewShareKeysFails) {
  SessionFixture session(NoisyConfig(), 10);
  session.Advertise();
  session.ShareKeys({1, 2});
  EXPECT_EQ(session.server.failure(), "8 devices shared keys with enough others, 9 are needed");
}

TEST(NoiseFloorTest, ADeviceRefusesAViewWithTooLittleNoise) {
  SessionFixture session(NoisyConfig(Profile::kMalicious), 10);
  session.Advertise();
  session.ShareKeys();
  session.MaskInputs();
  ClientSession& client = session.clients[0];
  Bitmap eight(10);  // with the device itself
  const std::vector<std::string> seats = session.server.devices();
  for (uint32_t seat = 0; seat < 10; ++seat) {
    if (seats[seat] == session.devices[0]->name) eight.Add(seat);
  }
  for (uint32_t seat = 0; eight.Count() < 8; ++seat) {
    if (!eight.Has(seat)) eight.Add(seat);
  }
  EXPECT_THAT(client.OnView(EncodeView(eight, client.session())), HasStatus(kFailed, "expected at least 9 survivors, got 8"));
  EXPECT_THAT(client.OnView(session.MessageFor(0).value()), IsOk());
}

TEST(NoiseFloorTest, TheKeyOfTheNoiseIsOnesOwnAndStays) {
  SessionFixture session(NoisyConfig(), 10);
  EXPECT_THAT(session.clients[0].NoiseKey(), HasStatus(kFailed, "not in this phase"));
  session.Advertise();
  session.ShareKeys();
  EXPECT_THAT(session.clients[0].NoiseKey(), HasStatus(kFailed, "not in this phase"));
  session.MaskInputs();
  std::set<std::vector<uint8_t>> keys;
  for (size_t i = 0; i < session.clients.size(); ++i) {
    const auto key = session.clients[i].NoiseKey();
    ASSERT_THAT(key, IsOk());
    keys.insert({key->bytes().begin(), key->bytes().end()});
    const auto again =
        ClientSession::Load(session.devices[i]->identity(i % 3 != 0), session.policy, session.clients[i].Save());
    ASSERT_THAT(again, IsOk());
    EXPECT_TRUE(std::ranges::equal(again->NoiseKey()->bytes(), key->bytes()));
    EXPECT_EQ(again->session(), session.server.session());
  }
  EXPECT_EQ(keys.size(), 10u);
  session.Unmask();
  EXPECT_THAT(session.clients[0].NoiseKey(), HasStatus(kFailed, "not in this phase"));
}

}  // namespace
}  // namespace fleetune::secagg
