#include "proto/enrollment_token.h"

#include <string>

#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

EnrollmentToken SomeToken() {
  EnrollmentToken token{.host = "fleet.example.com", .port = 7443, .ca_fingerprint = {}, .secret = {}};
  for (uint8_t i = 0; i < 32; ++i) {
    token.ca_fingerprint.bytes[i] = i;
    token.secret[i] = static_cast<uint8_t>(0xff - i);
  }
  return token;
}

// Frozen: tokens that people hold must go on working.
constexpr char kGolden[] =
    "ft1.EWZsZWV0LmV4YW1wbGUuY29tEx0AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eH__-_fz7-vn49_b19PPy8fDv7u3s6-rp6Ofm5eTj4uHg"
    "X0KIVg";

TEST(EnrollmentTokenTest, TextIsTheGoldenOne) { EXPECT_EQ(*FormatEnrollmentToken(SomeToken()), kGolden); }

TEST(EnrollmentTokenTest, ComesBackAsItWas) {
  const auto parsed = ParseEnrollmentToken(kGolden);
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(*parsed, SomeToken());
}

TEST(EnrollmentTokenTest, WhiteSpaceAroundIsIgnored) {
  EXPECT_THAT(ParseEnrollmentToken(std::string("  \n") + kGolden + "\r\n"), IsOk());
}

TEST(EnrollmentTokenTest, EveryTruncationIsRefused) {
  const std::string text = kGolden;
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_THAT(ParseEnrollmentToken(text.substr(0, size)), HasStatus(kInvalid, "enrolment token")) << size;
  }
}

TEST(EnrollmentTokenTest, EveryChangedCharacterIsRefused) {
  const std::string text = kGolden;
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_THAT(ParseEnrollmentToken(changed), HasStatus(kInvalid, "enrolment token")) << i;
  }
}

TEST(EnrollmentTokenTest, RefusalsSayWhatIsWrongAndNotTheSecret) {
  EXPECT_THAT(ParseEnrollmentToken(" "), HasStatus(kInvalid, "empty"));
  EXPECT_THAT(ParseEnrollmentToken("hello"), HasStatus(kInvalid, "begins with \"ft1.\""));
  EXPECT_THAT(ParseEnrollmentToken("ft2.AAAA"), HasStatus(kInvalid, "ft1 only"));
  EXPECT_THAT(ParseEnrollmentToken(std::string(kGolden) + "="), HasStatus(kInvalid, "mistyped"));
  EXPECT_THAT(ParseEnrollmentToken(std::string(kGolden) + "AAAA"), HasStatus(kInvalid, "mistyped"));
  EXPECT_THAT(ParseEnrollmentToken("ft1." + std::string(kMaxEnrollmentTokenBytes - 4, 'A')),
              HasStatus(kInvalid, "mistyped"));
  EXPECT_THAT(ParseEnrollmentToken("ft1." + std::string(kMaxEnrollmentTokenBytes - 3, 'A')),
              HasStatus(kInvalid, "512 bytes"));
}

TEST(EnrollmentTokenTest, HostAndPortHaveLimits) {
  EnrollmentToken token = SomeToken();
  token.host = std::string(kMaxTokenHostBytes, 'a');
  const auto longest = FormatEnrollmentToken(token);
  ASSERT_THAT(longest, IsOk());
  EXPECT_LE(longest->size(), kMaxEnrollmentTokenBytes);
  EXPECT_THAT(ParseEnrollmentToken(*longest), IsOk());

  token.host += 'a';
  EXPECT_THAT(FormatEnrollmentToken(token), HasStatus(kInvalid, "host"));
  token.host = "";
  EXPECT_THAT(FormatEnrollmentToken(token), HasStatus(kInvalid, "host"));
  token.host = "a b";
  EXPECT_THAT(FormatEnrollmentToken(token), HasStatus(kInvalid, "host"));
  token.host = "::1";
  EXPECT_THAT(FormatEnrollmentToken(token), IsOk());
  token.port = 0;
  EXPECT_THAT(FormatEnrollmentToken(token), HasStatus(kInvalid, "port"));
}

}  // namespace
}  // namespace fleetune
