// Both sides together: what a session gives in the end.

#include <algorithm>
#include <set>

#include "aggregation/secagg/session_fixture.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

struct Shape {
  uint32_t cohort;
  Profile profile;
  uint8_t lane_bits;
};

class SessionTest : public testing::TestWithParam<Shape> {
 protected:
  static SessionConfig Config() {
    SessionConfig config = TestConfig(GetParam().cohort, GetParam().profile);
    config.lane_bits = GetParam().lane_bits;
    return config;
  }
  void Finish(SessionFixture& session) {
    if (GetParam().profile == Profile::kMalicious) session.SignViews();
    session.Unmask();
    const absl::StatusOr<RingVector> sum = session.Open();
    ASSERT_THAT(sum, IsOk());
    EXPECT_EQ(*sum, session.ExpectedSum());
    EXPECT_EQ(session.server.phase(), ServerPhase::kFinished);
  }
};

TEST_P(SessionTest, AllStay) {
  SessionFixture session(Config(), GetParam().cohort);
  session.Advertise();
  session.ShareKeys();
  session.MaskInputs();
  EXPECT_NE(session.sum->Values(), session.ExpectedSum());  // the masks are on it
  Finish(session);
  EXPECT_EQ(session.server.counted().size(), GetParam().cohort);
}

class LargerSessionTest : public SessionTest {};

TEST_P(LargerSessionTest, OneDropsOutInEachPhase) {
  SessionFixture session(Config(), GetParam().cohort);
  session.Advertise({0});
  session.ShareKeys({0, 1});
  session.MaskInputs({0, 1, 2});
  if (GetParam().profile == Profile::kMalicious) session.SignViews({0, 1, 2, 3});
  session.Unmask({0, 1, 2, 3});
  const absl::StatusOr<RingVector> sum = session.Open();
  ASSERT_THAT(sum, IsOk());
  EXPECT_EQ(*sum, session.ExpectedSum());
  EXPECT_EQ(session.server.counted().size(), GetParam().cohort - 3);
}

TEST_P(SessionTest, TheLogGivesTheSameSession) {
  SessionFixture session(Config(), GetParam().cohort);
  session.log.push_back(session.server.OpenedEvent());
  session.Advertise();
  session.ShareKeys();
  session.MaskInputs();
  if (GetParam().profile == Profile::kMalicious) session.SignViews();
  for (uint32_t i = 0; i < session.clients.size(); ++i) {
    absl::StatusOr<ServerSession> again = ServerSession::Replay(session.log);
    ASSERT_THAT(again, IsOk());
    session.server = *std::move(again);
    // The device, too, begins anew from what it kept.
    absl::StatusOr<ClientSession> client =
        ClientSession::Load(session.devices[i]->identity(), session.policy, session.clients[i].Save());
    ASSERT_THAT(client, IsOk());
    session.clients[i] = *std::move(client);
  }
  session.Unmask();
  const absl::StatusOr<RingVector> sum = session.Open();
  ASSERT_THAT(sum, IsOk());
  EXPECT_EQ(*sum, session.ExpectedSum());
}

// Of three, two are enough to open the sum, but never for a sum of two.
TEST(SmallSessionTest, OneOfThreeMayVanishOnceItsInputIsThere) {
  SessionFixture session(TestConfig(3), 3);
  session.Advertise();
  session.ShareKeys();
  session.MaskInputs();
  session.Unmask({1});
  const absl::StatusOr<RingVector> sum = session.Open();
  ASSERT_THAT(sum, IsOk());
  EXPECT_EQ(*sum, session.ExpectedSum());
}

// Whoever takes a device after its last answer finds the answer, and nothing that opens its masks or its neighbours'.
TEST(SmallSessionTest, SecretsAreForgottenAfterTheLastAnswer) {
  SessionFixture session(TestConfig(3), 3);
  session.Advertise();
  session.ShareKeys();
  session.MaskInputs();
  const Bytes before = session.clients[0].Save();
  const Bytes request = session.MessageFor(0).value();
  const Bytes answer = session.clients[0].OnUnmaskRequest(request).value();
  const Bytes after = session.clients[0].Save();
  const auto bytes_shared = [&](size_t from, size_t size) {
    return std::search(after.begin(), after.end(), before.begin() + static_cast<int64_t>(from),
                       before.begin() + static_cast<int64_t>(from + size)) != after.end();
  };
  // Format, device and config are followed by phase, flag, and the three secrets.
  ByteReader reader(before);
  ASSERT_THAT(reader.Skip(4), IsOk());
  ASSERT_THAT(reader.ReadBlob(kMaxNameBytes), IsOk());
  ASSERT_THAT(reader.ReadBlob(kMaxSessionConfigBytes), IsOk());
  const size_t secrets = reader.position() + 2;
  for (size_t i = 0; i < 3; ++i) EXPECT_FALSE(bytes_shared(secrets + 32 * i, 32)) << i;
  EXPECT_THAT(session.clients[0].Mask(session.inputs[0]), HasStatus(absl::StatusCode::kFailedPrecondition, "phase"));
  absl::StatusOr<ClientSession> again = ClientSession::Load(session.devices[0]->identity(false), session.policy, after);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->OnUnmaskRequest(request).value(), answer);
}

TEST(SmallSessionTest, TwoInputsOfThreeAreNeverOpened) {
  SessionFixture session(TestConfig(3), 3);
  session.Advertise();
  session.ShareKeys();
  session.MaskInputs({1});
  EXPECT_EQ(session.server.phase(), ServerPhase::kFailed);
}

INSTANTIATE_TEST_SUITE_P(Small, SessionTest,
                         testing::Values(Shape{3, Profile::kHonestButCurious, 32}, Shape{3, Profile::kMalicious, 16}));
// A graph is sparse from 33 devices on in H.
constexpr Shape kLarger[] = {{10, Profile::kHonestButCurious, 16},
                             {10, Profile::kMalicious, 24},
                             {40, Profile::kHonestButCurious, 24},
                             {24, Profile::kMalicious, 32}};
INSTANTIATE_TEST_SUITE_P(Larger, SessionTest, testing::ValuesIn(kLarger));
INSTANTIATE_TEST_SUITE_P(Larger, LargerSessionTest, testing::ValuesIn(kLarger));

}  // namespace
}  // namespace fleetune::secagg
