// What ClientSession::Save wrote, Load reads back; and nothing else.

#include "aggregation/secagg/client_phases.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

class ClientSavedTest : public testing::TestWithParam<Profile> {
 protected:
  static const ClientPhases& Phases() {
    static const ClientPhases malicious(Profile::kMalicious);
    static const ClientPhases honest(Profile::kHonestButCurious);
    return GetParam() == Profile::kMalicious ? malicious : honest;
  }
  static absl::StatusOr<ClientSession> Load(std::span<const uint8_t> saved) {
    return ClientSession::Load(Phases().session.devices[0]->identity(), {}, saved);
  }
  // Where the cohort stands in what was saved after the roster: the seat follows.
  static size_t OffsetOfCohort(std::span<const uint8_t> saved) {
    ByteReader reader(saved);
    CHECK(reader.Skip(4).ok());
    CHECK(reader.ReadBlob(kMaxNameBytes).ok() && reader.ReadBlob(kMaxSessionConfigBytes).ok());
    CHECK(reader.Skip(2 + 3 * 32).ok());
    CHECK(reader.ReadBlob(kMaxAdvertisementBytes).ok());
    CHECK(reader.Skip(1 + 32).ok() && reader.ReadBlob(1u << 20).ok());
    CHECK(reader.Skip(32).ok());
    return reader.position();
  }
};

TEST_P(ClientSavedTest, EveryPhaseComesBack) {
  EXPECT_EQ(Phases().saved.size(), GetParam() == Profile::kMalicious ? 6u : 5u);
  for (const auto& [phase, saved] : Phases().saved) {
    const absl::StatusOr<ClientSession> again = Load(saved);
    ASSERT_THAT(again, IsOk()) << static_cast<int>(phase);
    EXPECT_EQ(again->phase(), phase);
    EXPECT_EQ(again->Save(), saved);
    EXPECT_EQ(again->config(), Phases().session.server.config());
    EXPECT_EQ(again->config_hash(), Phases().session.server.config_hash());
    EXPECT_EQ(again->advertisement(), Phases().session.clients[0].advertisement());
    EXPECT_EQ(again->cohort(), phase == ClientPhase::kAdvertised ? 0u : 5u);
  }
}

TEST_P(ClientSavedTest, NoBeginningIsOne) {
  for (const auto& [phase, saved] : Phases().saved) {
    for (size_t size = 0; size < saved.size(); ++size) {
      const Bytes cut(saved.begin(), saved.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_THAT(Load(cut), HasStatus(kDataLoss, "saved session"))
          << "phase " << static_cast<int>(phase) << " cut off at " << size;
    }
    Bytes longer = saved;
    longer.push_back(0);
    EXPECT_THAT(Load(longer), HasStatus(kDataLoss, "saved session"));
  }
}

// Whatever a byte becomes: refused, or a session that is saved as exactly these bytes.
TEST_P(ClientSavedTest, AnyByteChangedIsRefusedOrKept) {
  const Bytes& saved = Phases().saved.at(ClientPhase::kUnmasked);
  size_t refused = 0;
  for (size_t at = 0; at < saved.size(); at += 3) {
    Bytes changed = saved;
    changed[at] ^= 0xff;
    const absl::StatusOr<ClientSession> loaded = Load(changed);
    refused += loaded.ok() ? 0 : 1;
    if (loaded.ok()) {
      EXPECT_EQ(loaded->Save(), changed) << at;
    }
  }
  EXPECT_GT(refused, 0u);
}

TEST_P(ClientSavedTest, OfAnotherDevice) {
  const TestDevice other("device-other");
  for (const auto& [phase, saved] : Phases().saved) {
    EXPECT_THAT(ClientSession::Load(other.identity(), {}, saved),
                HasStatus(absl::StatusCode::kInvalidArgument, "another device"));
  }
}

TEST_P(ClientSavedTest, OfAnotherFormat) {
  Bytes saved = Phases().saved.at(ClientPhase::kAdvertised);
  saved[0] = 3;
  EXPECT_THAT(Load(saved), HasStatus(kDataLoss, "format 3"));
}

// Bytes that Save never writes would end in a failed CHECK later on.
TEST_P(ClientSavedTest, ASeatOutsideTheRoster) {
  for (const auto& [phase, good] : Phases().saved) {
    if (phase == ClientPhase::kAdvertised) continue;
    const size_t cohort = OffsetOfCohort(good);
    ASSERT_EQ(good[cohort], 5);
    Bytes saved = good;
    saved[cohort + 4] = 5;  // seats are 0 to 4
    EXPECT_THAT(Load(saved), HasStatus(kDataLoss, "saved session"));
    saved[cohort + 5] = 1;
    EXPECT_THAT(Load(saved), HasStatus(kDataLoss, "saved session"));
    saved = good;
    saved[cohort] = 4;
    EXPECT_THAT(Load(saved), HasStatus(kDataLoss, "saved session"));
    saved[cohort] = 0;
    EXPECT_THAT(Load(saved), HasStatus(kDataLoss, "saved session"));
  }
}

TEST_P(ClientSavedTest, APhaseThatDoesNotFitWhatWasAnswered) {
  for (const auto& [phase, good] : Phases().saved) {
    ByteReader reader(good);
    ASSERT_TRUE(reader.Skip(4).ok() && reader.ReadBlob(kMaxNameBytes).ok() && reader.ReadBlob(1024).ok());
    Bytes saved = good;
    ASSERT_EQ(saved[reader.position()], static_cast<uint8_t>(phase));
    for (uint8_t other = 0; other < 9; ++other) {
      if (other == static_cast<uint8_t>(phase)) continue;
      saved[reader.position()] = other;
      EXPECT_THAT(Load(saved), HasStatus(kDataLoss, "phase")) << static_cast<int>(phase) << " as " << int{other};
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Profiles, ClientSavedTest, testing::Values(Profile::kHonestButCurious, Profile::kMalicious));

}  // namespace
}  // namespace fleetune::secagg
