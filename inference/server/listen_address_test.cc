#include "inference/server/listen_address.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

TEST(LoopbackAddress, TakesThisMachineAlone) {
  EXPECT_EQ(ParseLoopbackAddress("127.0.0.1:8080")->port, 8080);
  EXPECT_EQ(ParseLoopbackAddress("localhost:0")->host, "127.0.0.1");
  EXPECT_EQ(ParseLoopbackAddress("[::1]:65535")->host, "::1");
  for (const char* wrong : {"", "8080", ":8080", "0.0.0.0:8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:80x", "127.0.0.1:-1",
                            "192.168.0.2:8080", "example.org:80", "[::]:80", "::1:80", "127.0.0.1 :80"}) {
    EXPECT_THAT(ParseLoopbackAddress(wrong), HasStatus(absl::StatusCode::kInvalidArgument, "this machine alone")) << wrong;
  }
}

}  // namespace
}  // namespace fleetune
