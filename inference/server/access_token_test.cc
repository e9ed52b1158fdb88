#include "inference/server/access_token.h"

#include <sys/stat.h>

#include <fstream>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using absl::StatusCode;

class AccessTokenTest : public testing::Test {
 protected:
  void Write(const std::string& text, mode_t mode = 0600) {
    std::ofstream(path_, std::ios::binary) << text;
    ASSERT_EQ(::chmod(path_.c_str(), mode), 0);
  }

  const TempFolder folder_;
  const std::string path_ = folder_.File("api.token");
  SplitMix64 random_{1};
};

TEST_F(AccessTokenTest, IsMadeOnceForItsOwnerAlone) {
  const auto made = FindOrMakeAccessToken(path_, random_);
  ASSERT_THAT(made, IsOk());
  EXPECT_EQ(made->size(), 64u);
  struct stat facts;
  ASSERT_EQ(::stat(path_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  EXPECT_EQ(*FindOrMakeAccessToken(path_, random_), *made);
}

TEST_F(AccessTokenTest, TakesAnOperatorsToken) {
  Write(" 0123456789abcdef\r\n");
  EXPECT_EQ(*FindOrMakeAccessToken(path_, random_), "0123456789abcdef");
}

TEST_F(AccessTokenTest, RefusesWhatOthersReadAndWhatIsNoToken) {
  Write("0123456789abcdef", 0640);
  EXPECT_THAT(FindOrMakeAccessToken(path_, random_), HasStatus(StatusCode::kFailedPrecondition, "chmod 600"));
  for (const std::string& text : {std::string(), std::string("\n"), std::string("0123456789abcde"), std::string("0123456789 abcdef"), std::string(257, 'a')}) {
    Write(text);
    EXPECT_THAT(FindOrMakeAccessToken(path_, random_), HasStatus(StatusCode::kInvalidArgument, "16 to 256")) << text;
  }
}

TEST(IsAuthorized, TakesTheTokenAlone) {
  EXPECT_TRUE(IsAuthorized("Bearer abc", "abc"));
  for (const char* wrong : {"", "abc", "Bearer", "Bearer ", "Bearer ab", "Bearer abd", "Bearer abcd", "bearer abc", "Basic abc"}) {
    EXPECT_FALSE(IsAuthorized(wrong, "abc")) << wrong;
  }
}

}  // namespace
}  // namespace fleetune
