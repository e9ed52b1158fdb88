#include "aggregation/secagg/roster.h"

#include <algorithm>
#include <string>

#include "aggregation/secagg/advertise.h"
#include "aggregation/secagg/parser_checks.h"
#include "aggregation/secagg/session_fixture.h"
#include "base/crypto/sha256.h"
#include "fmt/format.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

Roster RosterOf(uint32_t size) {
  Roster roster;
  for (uint32_t i = 0; i < size; ++i) {
    const std::string device = fmt::format("device-{:05}", i);
    roster.push_back({.device = device, .entry = Sha256(AsBytes(device))});
  }
  return roster;
}

class RosterTest : public testing::Test {
 protected:
  absl::StatusOr<RosterMessage> Parse(const RosterMessage& message) const {
    return ParseRosterMessage(EncodeRosterMessage(message, config_hash_), config_hash_);
  }
  const Digest config_hash_ = Sha256(AsBytes("config"));
  RosterMessage message_{.roster = RosterOf(5), .neighbours = {{1, 2, 3}, {}, {4}}};
};

TEST_F(RosterTest, RoundTrip) {
  const auto again = Parse(message_);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(*again, message_);
}

TEST_F(RosterTest, NoOtherLengthKindOrSession) {
  const Bytes bytes = EncodeRosterMessage(message_, config_hash_);
  const auto parse = [this](std::span<const uint8_t> part) { return ParseRosterMessage(part, config_hash_); };
  ExpectNoOtherLength(bytes, parse);
  ExpectHeadIsChecked(bytes, parse);
}

TEST_F(RosterTest, ThreeTo4096Devices) {
  for (const uint32_t size : {3u, 4096u}) {
    message_ = {.roster = RosterOf(size), .neighbours = {}};
    EXPECT_THAT(Parse(message_), IsOk()) << size;
  }
  for (const uint32_t size : {0u, 2u, 4097u}) {
    message_ = {.roster = RosterOf(size), .neighbours = {}};
    EXPECT_THAT(Parse(message_), HasStatus(absl::StatusCode::kInvalidArgument, "3 to 4096")) << size;
  }
}

TEST_F(RosterTest, ADeviceTwice) {
  message_.roster[2] = message_.roster[1];
  EXPECT_THAT(Parse(message_), HasStatus(absl::StatusCode::kInvalidArgument, "seat 2"));
}

TEST_F(RosterTest, ADeviceTwiceWithOtherKeys) {
  message_.roster[2].device = message_.roster[1].device;
  EXPECT_THAT(Parse(message_), HasStatus(absl::StatusCode::kInvalidArgument, "a device twice"));
}

TEST_F(RosterTest, EveryUnsortedPair) {
  for (size_t i = 0; i + 1 < message_.roster.size(); ++i) {
    RosterMessage unsorted = message_;
    std::swap(unsorted.roster[i], unsorted.roster[i + 1]);
    EXPECT_THAT(Parse(unsorted), HasStatus(absl::StatusCode::kInvalidArgument, "unsorted"));
  }
}

TEST_F(RosterTest, SortedByBytesNotBySign) {
  message_.roster[4].device = "\xff";
  EXPECT_THAT(Parse(message_), IsOk());
}

TEST_F(RosterTest, AsManyNeighboursAsDevicesAndNoMore) {
  message_.neighbours.assign(4, {9});
  EXPECT_THAT(Parse(message_), IsOk());
  message_.neighbours.assign(5, {9});
  EXPECT_THAT(Parse(message_), HasStatus(absl::StatusCode::kInvalidArgument, "fewer than 5"));
}

TEST_F(RosterTest, EntriesAndNamesHaveLimits) {
  RosterMessage longest = message_;
  longest.neighbours[0] = Bytes(kMaxAdvertisementBytes);
  longest.roster[4].device = std::string(kMaxNameBytes, 'z');
  EXPECT_THAT(Parse(longest), IsOk());
  longest.neighbours[0].push_back(0);
  EXPECT_THAT(Parse(longest), HasStatus(absl::StatusCode::kResourceExhausted, ""));
  longest = message_;
  longest.roster[4].device = std::string(kMaxNameBytes + 1, 'z');
  EXPECT_THAT(Parse(longest), HasStatus(absl::StatusCode::kResourceExhausted, ""));
}

TEST_F(RosterTest, SeatsArePositions) {
  for (uint32_t i = 0; i < 5; ++i) EXPECT_EQ(SeatOf(message_.roster, message_.roster[i].device), i);
  for (const char* other : {"", "device", "device-00002x", "zzz"}) {
    EXPECT_EQ(SeatOf(message_.roster, other), std::nullopt) << other;
  }
  EXPECT_EQ(SeatOf({}, "device"), std::nullopt);
}

TEST_F(RosterTest, TheSessionIsOfConfigAndEveryLine) {
  const Digest session = SessionId(config_hash_, message_.roster);
  EXPECT_EQ(session, SessionId(config_hash_, RosterOf(5)));
  EXPECT_NE(session, SessionId(Sha256(AsBytes("other")), message_.roster));
  EXPECT_NE(session, SessionId(config_hash_, RosterOf(6)));
  for (uint32_t seat = 0; seat < 5; ++seat) {
    Roster other = message_.roster;
    other[seat].entry.bytes[31] ^= 1;
    EXPECT_NE(session, SessionId(config_hash_, other));
    other = message_.roster;
    other[seat].device += "x";
    EXPECT_NE(session, SessionId(config_hash_, other));
  }
}

TEST_F(RosterTest, TheTopologyKeepsToTheConfig) {
  SessionConfig config = TestConfig(10);
  config.min_cohort = 5;
  for (const uint32_t size : {5u, 10u}) {
    const auto topology = MakeTopology(config, config_hash_, RosterOf(size));
    ASSERT_THAT(topology, IsOk());
    EXPECT_EQ(topology->session, SessionId(config_hash_, RosterOf(size)));
    EXPECT_EQ(topology->graph.cohort(), size);
    EXPECT_EQ(topology->parameters, ComputeGraphParameters(size, 0.1, 0.1, Profile::kHonestButCurious).value());
  }
  for (const uint32_t size : {4u, 11u}) {
    EXPECT_THAT(MakeTopology(config, config_hash_, RosterOf(size)),
                HasStatus(absl::StatusCode::kInvalidArgument, "5 to 10"));
  }
}

TEST_F(RosterTest, SharesOfDevicesThatNoGraphCarries) {
  SessionConfig config = TestConfig(10);
  config.adversarial = config.dropout = 0.45;
  ASSERT_THAT(Validate(config), IsOk());
  EXPECT_THAT(MakeTopology(config, config_hash_, RosterOf(10)), HasStatus(absl::StatusCode::kInvalidArgument, ""));
}

}  // namespace
}  // namespace fleetune::secagg
