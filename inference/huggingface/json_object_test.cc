#include "inference/huggingface/json_object.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

JsonObject Parse(std::string_view text) {
  auto object = JsonObject::Parse(text, "some.json");
  EXPECT_THAT(object, IsOk());
  return *std::move(object);
}

TEST(JsonObjectTest, ReadsByKey) {
  const JsonObject json = Parse(R"({"n": 5, "x": 0.5, "yes": true, "text": "t", "none": null, "in": {"n": 7}})");
  EXPECT_EQ(*json.Count("n", 5), 5u);
  EXPECT_EQ(*json.CountOr("none", 5, 3), 3u);
  EXPECT_EQ(*json.NumberOr("x", 1), 0.5);
  EXPECT_EQ(*json.NumberOr("none", 1), 1);
  EXPECT_TRUE(*json.FlagOr("yes", false));
  EXPECT_TRUE(*json.FlagOr("absent", true));
  EXPECT_EQ(*json.OptionalFlag("absent"), std::nullopt);
  EXPECT_EQ(*json.TextOr("text", ""), "t");
  EXPECT_EQ(*json.OptionalText("none"), std::nullopt);
  EXPECT_TRUE(json.Has("none"));
  EXPECT_FALSE(json.Has("absent"));
  EXPECT_EQ(json.Find("none"), nullptr);
  EXPECT_EQ(*json.Object("in")->Count("n", 10), 7u);
  EXPECT_EQ(json.Object("none")->Find("n"), nullptr);
}

TEST(JsonObjectTest, SaysWhatWasExpectedAndWhatCame) {
  const JsonObject json = Parse(R"({"zero": 0, "much": 6, "text": "a\nb", "less": -1, "half": 1.5, "in": {"n": []}})");
  EXPECT_THAT(json.Count("zero", 5), HasStatus(kInvalid, "some.json: zero: expected 1 to 5, got 0"));
  EXPECT_THAT(json.Count("much", 5), HasStatus(kInvalid, "got 6"));
  EXPECT_THAT(json.Count("less", 5), HasStatus(kInvalid, "got -1"));
  EXPECT_THAT(json.Count("half", 5), HasStatus(kInvalid, "got 1.5"));
  EXPECT_THAT(json.Count("absent", 5), HasStatus(kInvalid, "got nothing"));
  EXPECT_THAT(json.CountOr("text", 5, 1), HasStatus(kInvalid, R"(got "a\nb")"));
  EXPECT_THAT(json.NumberOr("text", 5), HasStatus(kInvalid, "a number"));
  EXPECT_THAT(json.FlagOr("zero", false), HasStatus(kInvalid, "true or false"));
  EXPECT_THAT(json.TextOr("zero", ""), HasStatus(kInvalid, "a text"));
  EXPECT_THAT(json.Object("zero"), HasStatus(kInvalid, "an object"));
  EXPECT_THAT(json.Object("in")->Count("n", 9), HasStatus(kInvalid, "some.json: in.n: expected 1 to 9, got []"));
}

TEST(JsonObjectTest, RefusesWhatIsNoObject) {
  for (const char* text : {"", "{", "[]", "1", "null", "{\"a\": 1} x", "{\"a\": \"\xff\"}", "{\"a\": 01}"}) {
    EXPECT_THAT(JsonObject::Parse(text, "f"), HasStatus(kInvalid, "f: expected a JSON object")) << text;
  }
  const auto nested = [](size_t depth) { return "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}"; };
  EXPECT_THAT(JsonObject::Parse(nested(kMaxJsonDepth - 1), "f"), IsOk());
  EXPECT_THAT(JsonObject::Parse(nested(kMaxJsonDepth + 1), "f"), HasStatus(kInvalid, "nested deeper than 32"));
  EXPECT_THAT(JsonObject::Parse(nested(1'000'000), "f"), HasStatus(kInvalid, "nested deeper than 32"));
}

TEST(JsonObjectTest, ShowsValuesInOneShortLine) {
  EXPECT_EQ(Shown("a\nb\u00e9"), R"("a\nb\u00e9")");
  EXPECT_EQ(Shown("\xff"), R"("\ufffd")");
  EXPECT_EQ(Shown(std::string(1000, 'x')), "\"" + std::string(79, 'x') + "...");
}

}  // namespace
}  // namespace fleetune
