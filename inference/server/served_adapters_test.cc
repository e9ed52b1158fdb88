#include "inference/server/served_adapters.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

TEST(ServedAdapters, AreReplacedAsAWhole) {
  ServedAdapters adapters;
  const auto none = adapters.Current();
  EXPECT_TRUE(none->empty());
  const auto before = adapters.Replace({{.name = "home", .version = 1, .hash = "ab", .adapter = nullptr}});
  ASSERT_THAT(before, IsOk());
  EXPECT_EQ(*before, none);
  const auto first = adapters.Current();
  ASSERT_THAT(adapters.Replace({}), IsOk());
  EXPECT_EQ(first->at(0).version, 1u);  // who began with it keeps it
  EXPECT_TRUE(adapters.Current()->empty());
}

TEST(ServedAdapters, HaveNamesOfTheirOwn) {
  ServedAdapters adapters;
  const ServedAdapter home = {.name = "home", .version = 1, .hash = "ab", .adapter = nullptr};
  ASSERT_THAT(adapters.Replace({home}), IsOk());
  ServedAdapter other = home;
  for (const char* name : {"home", "base", ""}) {
    other.name = name;
    EXPECT_THAT(adapters.Replace({home, other}), HasStatus(absl::StatusCode::kInvalidArgument, "cannot be served"));
  }
  EXPECT_EQ(adapters.Current()->size(), 1u);
}

}  // namespace
}  // namespace fleetune
