#include "coordinator/admin/duration.h"

#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using std::chrono::seconds;

TEST(DurationTest, FourUnits) {
  EXPECT_EQ(*ParseDuration("90s"), seconds(90));
  EXPECT_EQ(*ParseDuration("30m"), seconds(1800));
  EXPECT_EQ(*ParseDuration("24h"), seconds(86400));
  EXPECT_EQ(*ParseDuration("7d"), seconds(7 * 86400));
  EXPECT_EQ(*ParseDuration("3660d"), seconds(3660LL * 86400));
}

TEST(DurationTest, AnythingElseIsRefused) {
  for (const char* text : {"", "s", "1", "1w", "0s", "-1h", "1.5h", "h1", " 1h", "1h ", "3661d", "99999999999999999999s"}) {
    EXPECT_THAT(ParseDuration(text), HasStatus(absl::StatusCode::kInvalidArgument, "expected a time like")) << text;
  }
}

}  // namespace
}  // namespace fleetune
