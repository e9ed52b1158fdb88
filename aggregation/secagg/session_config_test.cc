#include "aggregation/secagg/session_config.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "aggregation/secagg/parser_checks.h"
#include "aggregation/secagg/session_fixture.h"
#include "base/crypto/sha256.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

using Change = std::function<void(SessionConfig&)>;

SessionConfig FullConfig() {
  SessionConfig config = TestConfig(100, Profile::kMalicious);
  config.base = Sha256(AsBytes("base"));
  config.adapter = Sha256(AsBytes("adapter"));
  config.nonce.fill(7);
  config.rotation_seed.fill(9);
  config.noise_multiplier = 1.5;
  config.noise_delta = 1e-6;
  config.min_cohort = 50;
  config.min_survivors = 40;
  config.dropout = 0.2;
  return config;
}

absl::Status ValidateWith(const Change& change) {
  SessionConfig config = FullConfig();
  change(config);
  return Validate(config);
}

TEST(SessionConfigTest, RoundTrip) {
  const SessionConfig config = FullConfig();
  const Bytes bytes = EncodeSessionConfig(config);
  EXPECT_LE(bytes.size(), kMaxSessionConfigBytes);
  const absl::StatusOr<SessionConfig> again = ParseSessionConfig(bytes);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(*again, config);
}

TEST(SessionConfigTest, TheLongestFits) {
  SessionConfig config = FullConfig();
  config.task = std::string(kMaxNameBytes, 't');
  config.round = std::string(kMaxNameBytes, 'r');
  const Bytes bytes = EncodeSessionConfig(config);
  EXPECT_LE(bytes.size(), kMaxSessionConfigBytes);
  EXPECT_THAT(ParseSessionConfig(bytes), IsOk());
}

TEST(SessionConfigTest, NoOtherLength) { ExpectNoOtherLength(EncodeSessionConfig(FullConfig()), ParseSessionConfig); }

// Whatever one byte becomes: refused, or a config that says something else in exactly these bytes.
TEST(SessionConfigTest, AnyByteChangedIsRefusedOrAnotherConfig) {
  const SessionConfig config = FullConfig();
  const Bytes bytes = EncodeSessionConfig(config);
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const int with : {1, 0x80, 0xff}) {
      Bytes changed = bytes;
      changed[at] = static_cast<uint8_t>(changed[at] ^ with);
      const absl::StatusOr<SessionConfig> parsed = ParseSessionConfig(changed);
      if (!parsed.ok()) continue;
      EXPECT_NE(*parsed, config) << at;
      EXPECT_EQ(EncodeSessionConfig(*parsed), changed) << at;
    }
  }
}

TEST(SessionConfigTest, OfNoOtherFormat) {
  Bytes bytes = EncodeSessionConfig(FullConfig());
  bytes[0] = 2;
  EXPECT_THAT(ParseSessionConfig(bytes), HasStatus(absl::StatusCode::kInvalidArgument, "format"));
}

TEST(SessionConfigTest, MoreBytesThanAConfigMayHave) {
  EXPECT_THAT(ParseSessionConfig(Bytes(kMaxSessionConfigBytes + 1)),
              HasStatus(absl::StatusCode::kResourceExhausted, "1024"));
}

TEST(SessionConfigTest, ATextOverItsLimit) {
  Bytes bytes = EncodeSessionConfig(FullConfig());
  bytes[4] = kMaxNameBytes + 1;  // the task's length
  EXPECT_THAT(ParseSessionConfig(bytes), HasStatus(absl::StatusCode::kResourceExhausted, ""));
}

struct Limit {
  const char* field;
  std::vector<Change> inside;
  std::vector<Change> outside;
};

const double kInfinite = std::numeric_limits<double>::infinity();

std::vector<Limit> Limits() {
  using C = SessionConfig;
  using Ms = std::chrono::milliseconds;
  std::vector<Limit> limits{
      {"task",
       {[](C& c) { c.task = "t"; }, [](C& c) { c.task = std::string(64, '~'); }, [](C& c) { c.task = "!"; }},
       {[](C& c) { c.task = ""; }, [](C& c) { c.task = std::string(65, 'a'); }, [](C& c) { c.task = "a b"; },
        [](C& c) { c.task = "a\x7f"; }, [](C& c) { c.task = "\xc3\xa4"; },
        [](C& c) { c.task = std::string(1, '\0'); }}},
      {"round",
       {[](C& c) { c.round = "r"; }, [](C& c) { c.round = std::string(64, 'r'); }},
       {[](C& c) { c.round = ""; }, [](C& c) { c.round = std::string(65, 'a'); }, [](C& c) { c.round = "a\n"; }}},
      {"dimension",
       {[](C& c) { c.dimension = 1; }, [](C& c) { c.dimension = kMaxDimension; }},
       {[](C& c) { c.dimension = 0; }, [](C& c) { c.dimension = kMaxDimension + 1; },
        [](C& c) { c.dimension = UINT64_MAX; }}},
      {"lane_bits",
       {[](C& c) { c.lane_bits = 16; }, [](C& c) { c.lane_bits = 24; }, [](C& c) { c.lane_bits = 32; }},
       {[](C& c) { c.lane_bits = 0; }, [](C& c) { c.lane_bits = 8; }, [](C& c) { c.lane_bits = 31; },
        [](C& c) { c.lane_bits = 64; }}},
      {"clip_norm",
       {[](C& c) { c.clip_norm = 1e-300; }, [](C& c) { c.clip_norm = 1e300; }},
       {[](C& c) { c.clip_norm = 0; }, [](C& c) { c.clip_norm = -1; }, [](C& c) { c.clip_norm = NAN; },
        [](C& c) { c.clip_norm = kInfinite; }}},
      {"scale",
       {[](C& c) { c.scale = 1e-300; }, [](C& c) { c.scale = 1e300; }},
       {[](C& c) { c.scale = 0; }, [](C& c) { c.scale = -1; }, [](C& c) { c.scale = NAN; },
        [](C& c) { c.scale = kInfinite; }}},
      {"noise_multiplier",
       {[](C& c) { c.noise_multiplier = 1e-9; }, [](C& c) { c.noise_multiplier = 100; }},
       {[](C& c) { c.noise_multiplier = -1e-9; }, [](C& c) { c.noise_multiplier = NAN; },
        [](C& c) { c.noise_multiplier = kInfinite; }}},
      {"noise_delta",
       {[](C& c) { c.noise_delta = 1e-300; }, [](C& c) { c.noise_delta = 0.999; },
        [](C& c) { c.noise_multiplier = c.noise_delta = 0; }},
       {[](C& c) { c.noise_delta = 0; }, [](C& c) { c.noise_delta = 1; }, [](C& c) { c.noise_delta = NAN; },
        [](C& c) { c.noise_multiplier = 0; }}},
      {"profile",
       {[](C& c) { c.profile = Profile::kHonestButCurious; }},
       {[](C& c) { c.profile = Profile{0}; }, [](C& c) { c.profile = Profile{3}; }}},
      {"max_cohort",
       {[](C& c) { c.max_cohort = c.min_cohort; }, [](C& c) { c.max_cohort = kMaxCohort; },
        [](C& c) { c.max_cohort = c.min_cohort = c.min_survivors = 3; }},
       {[](C& c) { c.max_cohort = c.min_cohort = c.min_survivors = 2; }, [](C& c) { c.max_cohort = kMaxCohort + 1; }}},
      {"min_cohort",
       {[](C& c) { c.min_cohort = c.max_cohort; }, [](C& c) { c.min_cohort = c.min_survivors; }},
       {[](C& c) { c.min_cohort = c.max_cohort + 1; }, [](C& c) { c.min_cohort = 2; }}},
      {"min_survivors",
       {[](C& c) { c.min_survivors = 3; }, [](C& c) { c.min_survivors = c.min_cohort; }},
       {[](C& c) { c.min_survivors = 2; }, [](C& c) { c.min_survivors = c.min_cohort + 1; }}},
      {"adversarial",
       {[](C& c) { c.adversarial = 0; }, [](C& c) { c.adversarial = 0.499; }},
       {[](C& c) { c.adversarial = -1e-9; }, [](C& c) { c.adversarial = 0.5; }, [](C& c) { c.adversarial = NAN; }}},
      {"dropout",
       {[](C& c) { c.dropout = 0; }, [](C& c) { c.dropout = 0.499; }},
       {[](C& c) { c.dropout = -1e-9; }, [](C& c) { c.dropout = 0.5; }, [](C& c) { c.dropout = NAN; }}},
  };
  for (Ms PhaseTimes::*time : {&PhaseTimes::advertise, &PhaseTimes::share_keys, &PhaseTimes::masked_input,
                               &PhaseTimes::view, &PhaseTimes::unmask}) {
    limits.push_back({"times",
                      {[time](C& c) { c.times.*time = Ms(1); }, [time](C& c) { c.times.*time = kMaxPhaseTime; }},
                      {[time](C& c) { c.times.*time = Ms(0); }, [time](C& c) { c.times.*time = Ms(-1); },
                       [time](C& c) { c.times.*time = kMaxPhaseTime + Ms(1); }}});
  }
  return limits;
}

TEST(SessionConfigTest, EveryLimitFromBothSides) {
  for (const Limit& limit : Limits()) {
    for (size_t i = 0; i < limit.inside.size(); ++i) {
      EXPECT_THAT(ValidateWith(limit.inside[i]), IsOk()) << limit.field << " " << i;
      SessionConfig config = FullConfig();
      limit.inside[i](config);
      const absl::StatusOr<SessionConfig> again = ParseSessionConfig(EncodeSessionConfig(config));
      ASSERT_THAT(again, IsOk()) << limit.field << " " << i;
      EXPECT_EQ(*again, config) << limit.field << " " << i;
    }
    for (size_t i = 0; i < limit.outside.size(); ++i) {
      EXPECT_THAT(ValidateWith(limit.outside[i]), HasStatus(absl::StatusCode::kInvalidArgument, limit.field)) << i;
    }
  }
}

TEST(SessionConfigDeathTest, AnInvalidOneHasNoBytes) {
  SessionConfig config = FullConfig();
  config.dimension = 0;
  EXPECT_DEATH((void)EncodeSessionConfig(config), "");
}

}  // namespace
}  // namespace fleetune::secagg
