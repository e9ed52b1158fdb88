#include "aggregation/secagg/client_session.h"

#include <functional>
#include <vector>

#include "aggregation/secagg/client_phases.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

constexpr auto kFailed = absl::StatusCode::kFailedPrecondition;

class ClientSessionTest : public testing::TestWithParam<Profile> {
 protected:
  static const ClientPhases& Phases() {
    static const ClientPhases malicious(Profile::kMalicious);
    static const ClientPhases honest(Profile::kHonestButCurious);
    return GetParam() == Profile::kMalicious ? malicious : honest;
  }
  static bool Malicious() { return GetParam() == Profile::kMalicious; }

  // A call, when it is due, and where it leads to.
  struct Call {
    const char* name;
    std::function<absl::StatusOr<Bytes>(ClientSession&)> make;
    ClientPhase from;
    ClientPhase to;
    Bytes answer;
  };
  static std::vector<Call> Calls() {
    const ClientPhases& all = Phases();
    std::vector<Call> calls{
        {"roster",
         [&all](ClientSession& c) {
           SplitMix64 random(99);
           return c.OnRoster(all.roster, ReadTestCertificate, random);
         },
         ClientPhase::kAdvertised, ClientPhase::kShared, all.shares_answer},
        {"shares",
         [&all](ClientSession& c) -> absl::StatusOr<Bytes> {
           if (const absl::Status status = c.OnShares(all.shares); !status.ok()) return status;
           return Bytes{};
         },
         ClientPhase::kShared, ClientPhase::kReady, Bytes{}},
        {"mask", [&all](ClientSession& c) { return c.Mask(all.session.inputs[0]); }, ClientPhase::kReady,
         ClientPhase::kMasked, all.masked},
    };
    if (Malicious()) {
      calls.push_back({"view", [&all](ClientSession& c) { return c.OnView(all.view); }, ClientPhase::kMasked,
                       ClientPhase::kViewSigned, all.view_answer});
    }
    calls.push_back({"unmask", [&all](ClientSession& c) { return c.OnUnmaskRequest(all.request); },
                     Malicious() ? ClientPhase::kViewSigned : ClientPhase::kMasked, ClientPhase::kUnmasked,
                     all.request_answer});
    return calls;
  }
};

TEST_P(ClientSessionTest, EachCallInEachPhase) {
  for (const auto& [phase, saved] : Phases().saved) {
    for (const Call& call : Calls()) {
      SCOPED_TRACE(std::string(call.name) + " in phase " + std::to_string(static_cast<int>(phase)));
      ClientSession client = Phases().In(phase);
      const absl::StatusOr<Bytes> answer = call.make(client);
      const bool forgot = phase == ClientPhase::kUnmasked && call.name == std::string_view("mask");
      if (phase < call.from || forgot) {  // too early, or too late
        EXPECT_THAT(answer, HasStatus(kFailed, ""));
        EXPECT_EQ(client.Save(), saved);
      } else if (phase == call.from) {
        ASSERT_THAT(answer, IsOk());
        EXPECT_EQ(client.phase(), call.to);
        if (call.from != ClientPhase::kAdvertised) {  // whose polynomials are drawn anew
          EXPECT_EQ(*answer, call.answer);
        }
      } else {  // again: the same answer
        ASSERT_THAT(answer, IsOk());
        EXPECT_EQ(*answer, call.answer);
        EXPECT_EQ(client.Save(), saved);
      }
    }
  }
}

// Another message of the kind, good or not, after one was answered.
TEST_P(ClientSessionTest, AnotherMessageThanTheAnsweredOne) {
  SplitMix64 random(1);
  for (const auto& [phase, saved] : Phases().saved) {
    ClientSession client = Phases().In(phase);
    for (const Bytes* message : {&Phases().roster, &Phases().shares, &Phases().view, &Phases().request}) {
      if (message->empty()) continue;
      // Sealed shares that do not open cost a vote, not the session: such a message is a first one like any other.
      if (message == &Phases().shares && phase == ClientPhase::kShared) continue;
      Bytes other = *message;
      other.back() ^= 1;
      EXPECT_FALSE(Hear(client, other, random).ok()) << int{other[0]} << " in " << static_cast<int>(phase);
      other.pop_back();
      EXPECT_FALSE(Hear(client, other, random).ok()) << int{other[0]} << " in " << static_cast<int>(phase);
      EXPECT_EQ(client.Save(), saved);
    }
  }
}

TEST_P(ClientSessionTest, NoBeginningOfAMessageChangesAnything) {
  SplitMix64 random(1);
  const auto expect = [&random](ClientPhase phase, const Bytes& message) {
    ClientSession client = Phases().In(phase);
    const Bytes before = client.Save();
    for (size_t size = 1; size < message.size(); ++size) {
      const Bytes cut(message.begin(), message.begin() + static_cast<std::ptrdiff_t>(size));
      ASSERT_FALSE(Hear(client, cut, random).ok()) << "kind " << int{message[0]} << " cut off at " << size;
    }
    EXPECT_EQ(client.Save(), before);
    EXPECT_THAT(Hear(client, message, random), IsOk());
  };
  expect(ClientPhase::kAdvertised, Phases().roster);
  expect(ClientPhase::kShared, Phases().shares);
  if (Malicious()) expect(ClientPhase::kMasked, Phases().view);
  expect(Malicious() ? ClientPhase::kViewSigned : ClientPhase::kMasked, Phases().request);
}

// The same masks over another input would tell the difference.
TEST_P(ClientSessionTest, AResendWithAnotherInputIsRefusedAlsoAfterACrash) {
  RingVector other = Phases().session.inputs[0];
  other.back() ^= 1;
  for (const auto& [phase, saved] : Phases().saved) {
    if (phase < ClientPhase::kMasked) continue;
    ClientSession client = Phases().In(phase);
    if (phase == ClientPhase::kUnmasked) {  // it has forgotten the masks
      EXPECT_THAT(client.Mask(other), HasStatus(kFailed, "phase"));
      continue;
    }
    EXPECT_THAT(client.Mask(other), HasStatus(kFailed, "another input"));
    EXPECT_EQ(client.Save(), saved);
    const absl::StatusOr<Bytes> again = client.Mask(Phases().session.inputs[0]);
    ASSERT_THAT(again, IsOk());
    EXPECT_EQ(*again, Phases().masked);
  }
  // Before the first it may be any.
  ClientSession ready = Phases().In(ClientPhase::kReady);
  EXPECT_THAT(ready.Mask(other), IsOk());
  EXPECT_THAT(ready.Mask(Phases().session.inputs[0]), HasStatus(kFailed, "another input"));
}

TEST_P(ClientSessionTest, SharesOfTooFewAreRefusedAndOfEnoughTaken) {
  SessionFixture session(TestConfig(8, GetParam()), 8);
  session.Advertise();
  const LyingCoordinator coordinator(session);
  session.ShareKeys();
  const SharesMessage all = ParseShares(session.MessageFor(0).value(), coordinator.sid(), 7).value();
  const auto of = [&all, &coordinator](uint32_t count) {
    SharesMessage some{.shared = Bitmap(7), .sealed = {}};
    for (uint32_t i = 0; i < count; ++i) {
      some.shared.Add(i);
      some.sealed.push_back(all.sealed[i]);
    }
    return EncodeShares(some, coordinator.sid());
  };
  const uint32_t enough = coordinator.threshold() - 1;  // with itself
  EXPECT_THAT(session.clients[0].OnShares(of(enough - 1)), HasStatus(kFailed, "holders"));
  EXPECT_EQ(session.clients[0].phase(), ClientPhase::kShared);
  EXPECT_THAT(session.clients[0].OnShares(of(enough)), IsOk());
  EXPECT_EQ(session.clients[0].phase(), ClientPhase::kReady);
  EXPECT_THAT(session.clients[0].OnShares(of(7)), HasStatus(kFailed, "another message"));
}

TEST_P(ClientSessionTest, AConfigThatIsNoneIsNotJoined) {
  SplitMix64 random(1);
  const TestDevice device("device");
  const Bytes config = EncodeSessionConfig(TestConfig(5, GetParam()));
  for (size_t size = 0; size < config.size(); ++size) {
    EXPECT_FALSE(ClientSession::Join(device.identity(), std::span(config).first(size), {}, random).ok());
  }
  const auto joined = ClientSession::Join(device.identity(), config, {}, random);
  ASSERT_THAT(joined, IsOk());
  EXPECT_EQ(joined->phase(), ClientPhase::kAdvertised);
  EXPECT_EQ(joined->cohort(), 0u);
}

TEST_P(ClientSessionTest, TwoSessionsOfOneDeviceShareNoKey) {
  SplitMix64 random(1);
  const TestDevice device("device");
  const Bytes config = EncodeSessionConfig(TestConfig(5, GetParam()));
  const auto shown = [&] {
    const ClientSession session = ClientSession::Join(device.identity(), config, {}, random).value();
    return ParseAdvertisement(session.advertisement(), session.config_hash()).value();
  };
  const Advertisement one = shown();
  const Advertisement other = shown();
  EXPECT_NE(one.channel_key, other.channel_key);
  EXPECT_NE(one.mask_key, other.mask_key);
  EXPECT_NE(one.nonce, other.nonce);
  EXPECT_NE(one.channel_key, one.mask_key);
}

INSTANTIATE_TEST_SUITE_P(Profiles, ClientSessionTest, testing::Values(Profile::kHonestButCurious, Profile::kMalicious));

TEST(ClientSessionHonestTest, NoViewIsSignedInProfileH) {
  const ClientPhases phases(Profile::kHonestButCurious);
  for (const auto& [phase, saved] : phases.saved) {
    ClientSession client = phases.In(phase);
    EXPECT_THAT(client.OnView(phases.roster), HasStatus(kFailed, "not in this phase"));
  }
}

TEST(ClientSessionDeathTest, AnInputOfAnotherDimensionIsABug) {
  const ClientPhases phases(Profile::kHonestButCurious);
  ClientSession client = phases.In(ClientPhase::kReady);
  EXPECT_DEATH((void)client.Mask(RingVector(49)), "");
}

}  // namespace
}  // namespace fleetune::secagg
