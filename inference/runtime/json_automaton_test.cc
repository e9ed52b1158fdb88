#include "inference/runtime/json_automaton.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

// Whether `text` is a whole value; every beginning of it must be accepted then.
bool IsValue(const std::shared_ptr<const JsonValueSchema>& schema, std::string_view text) {
  JsonAutomaton automaton(schema);
  return automaton.Push(text) && automaton.complete();
}
bool IsBeginning(const std::shared_ptr<const JsonValueSchema>& schema, std::string_view text) {
  return JsonAutomaton(schema).Push(text);
}
std::shared_ptr<const JsonValueSchema> Schema(std::string_view json) {
  auto schema = ParseJsonSchema(json);
  EXPECT_THAT(schema, IsOk());
  return *schema;
}

TEST(JsonAutomaton, TakesEveryKindOfValue) {
  for (const char* value :
       {"{}", "[]", " {\"a\" : 1 , \"b\":[true,false , null]}", "\"\"", "\"a\\n\\u00e9\\\"\"", "0", "-0.5e+10", "120",
        "[[[]],{\"\":{}}]", "1E5", "1e-99", "\"\xC3\xA9\"", "true", "null", "\"\\ud7ff\""}) {
    EXPECT_TRUE(IsValue(AnyJsonValue(), value)) << value;
  }
}

TEST(JsonAutomaton, RefusesWhatIsNoJson) {
  for (const char* value :
       {"{,}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "[1,]", "[,", "01", "-", "+1", ".5", "1.", "1e", "1e100", "tru", "trux", "'a'",
        "\"a\nb\"", "\"\\x\"", "\"\\u12g", "\"\\ud800", "\"\\uDFFF", "{} x", "[1 2]", "{\"a\" 1}", "{a:1}", "]", "NaN",
        "[01]", "[1.]", "[1e]", "{\"a\":1 \"b\"", "nulll", "\"\x01\""}) {
    EXPECT_FALSE(IsValue(AnyJsonValue(), value)) << value;
  }
}

TEST(JsonAutomaton, KnowsWhenAValueIsWhole) {
  EXPECT_TRUE(IsBeginning(AnyJsonObject(), "{\"a\": [1, 2"));
  EXPECT_FALSE(IsValue(AnyJsonObject(), "{\"a\": [1, 2"));
  EXPECT_TRUE(IsValue(AnyJsonObject(), "{\"a\": [1, 2]}"));
  EXPECT_FALSE(IsBeginning(AnyJsonObject(), "[") || IsBeginning(AnyJsonObject(), "1"));
  EXPECT_FALSE(IsBeginning(AnyJsonObject(), "{} "));  // nothing follows
}

TEST(JsonAutomaton, HasLimitsForWhatAModelMayRepeat) {
  const std::string deepest(JsonAutomaton::kMaxDepth, '[');
  EXPECT_TRUE(IsBeginning(AnyJsonValue(), deepest));
  EXPECT_FALSE(IsBeginning(AnyJsonValue(), deepest + "["));
  EXPECT_TRUE(IsBeginning(AnyJsonValue(), "[\n" + std::string(JsonAutomaton::kMaxIndentation, ' ')));
  EXPECT_FALSE(IsBeginning(AnyJsonValue(), "[\n" + std::string(JsonAutomaton::kMaxIndentation + 1, ' ')));
  EXPECT_TRUE(IsBeginning(AnyJsonValue(), "[ 1"));
  for (const char* wrong : {"[  1", "[ \n1", "[\n\n1", "[\t1"}) EXPECT_FALSE(IsBeginning(AnyJsonValue(), wrong));
  EXPECT_TRUE(IsBeginning(AnyJsonValue(), std::string(JsonAutomaton::kMaxNumberBytes, '1')));
  EXPECT_FALSE(IsBeginning(AnyJsonValue(), std::string(JsonAutomaton::kMaxNumberBytes + 1, '1')));
}

TEST(JsonAutomaton, KeepsToPropertiesInTheirOrder) {
  const auto schema = Schema(R"({"type": "object", "properties": {
      "name": {"type": "string"}, "nick": {"type": "string"}, "age": {"type": "integer"}},
      "required": ["name", "age"], "additionalProperties": false})");
  EXPECT_TRUE(IsValue(schema, R"({"name": "A", "nick": "B", "age": 3})"));
  EXPECT_TRUE(IsValue(schema, R"({"name":"A","age":3})"));
  for (const char* wrong : {R"({"nick")", R"({"age")", R"({"name":"A"})", R"({"name":"A","nick":"B"})", R"({"name":1)",
                            R"({"name":"A","age":1.)", R"({"name":"A","age":1e)", R"({"name":"A","name")", R"({"nam")",
                            R"({"name":"A","age":1,)", "{}", R"({"x)"}) {
    EXPECT_FALSE(IsBeginning(schema, wrong)) << wrong;
  }
}

TEST(JsonAutomaton, KeepsToItemsLiteralsAndTypes) {
  const auto list = Schema(R"({"type": "array", "items": {"enum": ["red", "redder", 1, 10, null]}, "minItems": 1, "maxItems": 2})");
  for (const char* value : {R"(["red"])", R"(["redder", 1])", "[10,null]"}) EXPECT_TRUE(IsValue(list, value)) << value;
  for (const char* wrong : {"[]", R"(["re"])", R"(["red",1,)", "[2", "[100", "[true"}) {
    EXPECT_FALSE(IsBeginning(list, wrong)) << wrong;
  }
  const auto either = Schema(R"({"type": ["boolean", "number"]})");
  for (const char* value : {"true", "false", "1.5"}) EXPECT_TRUE(IsValue(either, value));
  EXPECT_FALSE(IsBeginning(either, "null") || IsBeginning(either, "\""));
  EXPECT_TRUE(IsValue(Schema(R"({"type": "array", "maxItems": 0})"), "[]"));
  EXPECT_FALSE(IsBeginning(Schema(R"({"type": "array", "maxItems": 0})"), "[1"));
}

TEST(JsonAutomaton, ObjectsWithoutNamedPropertiesTakeAny) {
  EXPECT_TRUE(IsValue(Schema(R"({"type": "object"})"), R"({"a": [{}], "b": 1.5})"));
  const auto numbers = Schema(R"({"type": "object", "additionalProperties": {"type": "integer"}})");
  EXPECT_TRUE(IsValue(numbers, R"({"a": 1, "b": -2})"));
  EXPECT_FALSE(IsBeginning(numbers, R"({"a": ")"));
  const auto none = Schema(R"({"type": "object", "additionalProperties": false})");
  EXPECT_TRUE(IsValue(none, "{}"));
  EXPECT_FALSE(IsBeginning(none, "{\""));
}

TEST(JsonAutomaton, SaysWhereItIsInAString) {
  JsonAutomaton automaton(AnyJsonObject());
  ASSERT_TRUE(automaton.Push("{"));
  EXPECT_FALSE(automaton.in_string());
  ASSERT_TRUE(automaton.Push("\"a"));
  EXPECT_TRUE(automaton.in_string());
  ASSERT_TRUE(automaton.Push("\\"));
  EXPECT_FALSE(automaton.in_string());
}

TEST(JsonSchema, RefusesWhatItDoesNotKnowByName) {
  const auto refuses = [](std::string_view schema, std::string_view part) {
    EXPECT_THAT(ParseJsonSchema(schema), HasStatus(StatusCode::kInvalidArgument, part)) << schema;
  };
  refuses(R"({"type": "object", "properties": {"age": {"type": "integer", "minimum": 3}}})", "properties.age.minimum");
  refuses(R"({"anyOf": []})", "anyOf");
  refuses(R"({"type": "string", "pattern": "a*"})", "pattern");
  refuses(R"({"type": "text"})", "type: expected object, array");
  refuses(R"({"type": []})", "type");
  refuses(R"({"properties": {}})", "type");
  refuses(R"({"type": "object", "properties": []})", "properties");
  refuses(R"({"type": "object", "required": ["a"]})", "required: expected names of properties");
  refuses(R"({"type": "object", "additionalProperties": 1})", "additionalProperties");
  refuses(R"({"type": "array", "minItems": -1})", "minItems");
  refuses(R"({"type": "array", "minItems": 2, "maxItems": 1})", "minItems: expected no more than maxItems");
  refuses(R"({"enum": []})", "enum");
  refuses(R"({"enum": [[1]]})", "enum");
  refuses("true", "expected a schema");
  refuses("{", "JSON");
}

TEST(JsonSchema, HasLimits) {
  std::string deep = "{}";
  for (uint32_t i = 0; i < kMaxJsonSchemaDepth; ++i) deep = R"({"type":"array","items":)" + deep + "}";
  EXPECT_THAT(ParseJsonSchema(deep), IsOk());
  EXPECT_THAT(ParseJsonSchema(R"({"type":"array","items":)" + deep + "}"),
              HasStatus(StatusCode::kResourceExhausted, "nested over 32 deep"));
  EXPECT_THAT(ParseJsonSchema("{\"title\":\"" + std::string(kMaxJsonSchemaBytes, 'a') + "\"}"),
              HasStatus(StatusCode::kResourceExhausted, "65536 bytes"));
}

}  // namespace
}  // namespace fleetune
