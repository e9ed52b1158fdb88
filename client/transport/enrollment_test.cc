#include "client/transport/enrollment.h"

#include "gtest/gtest.h"
#include "proto/enrollment_token.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

TEST(JoinTokenTest, ReadsWhatTheCoordinatorWrote) {
  EnrollmentToken token{.host = "fleet.example", .port = 7443, .ca_fingerprint = {}, .secret = {}};
  token.secret.fill(9);
  const auto read = ReadJoinToken(FormatEnrollmentToken(token).value());
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->host, "fleet.example");
  EXPECT_EQ(read->port, 7443);
  EXPECT_EQ(read->secret, token.secret);
}

TEST(JoinTokenTest, RefusesWhatIsNoTokenWithoutQuotingIt) {
  const auto read = ReadJoinToken("ft1.secretsecret");
  EXPECT_THAT(read, HasStatus(absl::StatusCode::kInvalidArgument, "token"));
  EXPECT_EQ(read.status().message().find("secretsecret"), std::string::npos);
}

}  // namespace
}  // namespace fleetune
