#include "coordinator/admin/suggestion.h"

#include "gmock/gmock.h"

namespace fleetune {
namespace {

const std::vector<std::string> kVerbs = {"list", "show", "tag", "revoke"};

TEST(SuggestionTest, TheNearestWord) {
  EXPECT_EQ(NearestWord("lsit", kVerbs), "list");
  EXPECT_EQ(NearestWord("revok", kVerbs), "revoke");
  EXPECT_EQ(NearestWord("lists", kVerbs), "list");
  EXPECT_EQ(NearestWord("tga", kVerbs), "tag");
}

TEST(SuggestionTest, NothingIsNear) {
  EXPECT_EQ(NearestWord("frobnicate", kVerbs), "");
  EXPECT_EQ(NearestWord("x", {}), "");
}

}  // namespace
}  // namespace fleetune
