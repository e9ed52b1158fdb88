#include "aggregation/secagg/session_event.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

TEST(SessionEventTest, RoundTripOfEveryKind) {
  for (int kind = 1; kind <= 12; ++kind) {
    for (const Bytes& body : {Bytes{}, Bytes{0}, Bytes{1, 2, 3}}) {
      const SessionEvent event{.kind = static_cast<SessionEvent::Kind>(kind), .seat = 0xfffffffe, .body = body};
      const absl::StatusOr<SessionEvent> again = ParseSessionEvent(EncodeSessionEvent(event));
      ASSERT_THAT(again, IsOk()) << kind;
      EXPECT_EQ(*again, event) << kind;
    }
  }
}

TEST(SessionEventTest, ItsBytes) {
  EXPECT_EQ(EncodeSessionEvent({.kind = SessionEvent::Kind::kViewSigned, .seat = 0x0102, .body = {7, 8}}),
            (Bytes{8, 2, 1, 0, 0, 7, 8}));
}

TEST(SessionEventTest, OfNoKnownKind) {
  for (const uint8_t kind : {uint8_t{0}, uint8_t{13}, uint8_t{255}}) {
    EXPECT_THAT(ParseSessionEvent(Bytes{kind, 0, 0, 0, 0}), HasStatus(absl::StatusCode::kInvalidArgument, "kind"));
  }
}

TEST(SessionEventTest, CutOffBeforeItsBody) {
  const Bytes bytes{8, 2, 1, 0, 0};
  EXPECT_THAT(ParseSessionEvent(bytes), IsOk());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(ParseSessionEvent(std::span(bytes).first(size)), HasStatus(absl::StatusCode::kDataLoss, ""));
  }
}

}  // namespace
}  // namespace fleetune::secagg
