#include "inference/runtime/json_schema.h"

#include <algorithm>
#include <optional>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace fleetune {
namespace {

using Json = nlohmann::ordered_json;
using Schema = std::shared_ptr<const JsonValueSchema>;

absl::Status Wrong(const std::string& path, std::string_view expected) {
  return absl::InvalidArgumentError(fmt::format("{}: expected {}", path.empty() ? "schema" : path, expected));
}
std::string Under(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}
std::string Written(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

class SchemaReader {
 public:
  absl::StatusOr<Schema> Read(const Json& json, const std::string& path, uint32_t depth) {
    if (depth > kMaxJsonSchemaDepth) {
      return absl::ResourceExhaustedError(fmt::format("{}: nested over {} deep", path, kMaxJsonSchemaDepth));
    }
    if (!json.is_object()) return Wrong(path, "a schema, which is an object");
    RETURN_IF_ERROR(RefuseUnknown(json, path));
    JsonValueSchema schema;
    if (json.contains("enum") || json.contains("const")) {
      RETURN_IF_ERROR(ReadLiterals(json, path, schema));
      return std::make_shared<const JsonValueSchema>(std::move(schema));
    }
    RETURN_IF_ERROR(ReadTypes(json, path, schema));
    if (schema.object) RETURN_IF_ERROR(ReadObject(json, path, depth, schema));
    if (schema.array) RETURN_IF_ERROR(ReadArray(json, path, depth, schema));
    return std::make_shared<const JsonValueSchema>(std::move(schema));
  }

 private:
  static absl::Status RefuseUnknown(const Json& json, const std::string& path) {
    static constexpr std::string_view kKnown[] = {
        "type",     "properties", "required", "additionalProperties", "items",   "minItems", "maxItems", "enum",
        "const",    "title",      "description", "$schema",           "default", "examples"};
    for (const auto& member : json.items()) {
      if (std::find(std::begin(kKnown), std::end(kKnown), member.key()) == std::end(kKnown)) {
        return absl::InvalidArgumentError(
            fmt::format("{}: this keyword of JSON Schema is not supported", Under(path, member.key().substr(0, 60))));
      }
    }
    return absl::OkStatus();
  }

  static absl::Status ReadLiterals(const Json& json, const std::string& path, JsonValueSchema& schema) {
    const bool is_enum = json.contains("enum");
    const std::string place = Under(path, is_enum ? "enum" : "const");
    const Json values = is_enum ? json["enum"] : Json::array({json["const"]});
    if (!values.is_array() || values.empty()) return Wrong(place, "a list of values");
    for (const Json& value : values) {
      if (value.is_structured()) return Wrong(place, "strings, numbers, true, false or null");
      schema.literals.push_back(Written(value));
    }
    return absl::OkStatus();
  }

  static absl::Status ReadTypes(const Json& json, const std::string& path, JsonValueSchema& schema) {
    if (!json.contains("type")) {
      if (json.contains("properties") || json.contains("items")) return Wrong(Under(path, "type"), "a type");
      schema = *AnyJsonValue();
      return absl::OkStatus();
    }
    const Json types = json["type"].is_array() ? json["type"] : Json::array({json["type"]});
    if (types.empty()) return Wrong(Under(path, "type"), "a type");
    for (const Json& type : types) {
      const std::string name = type.is_string() ? type.get<std::string>() : "";
      if (name == "object") schema.object = true;
      else if (name == "array") schema.array = true;
      else if (name == "string") schema.string = true;
      else if (name == "number") schema.number = true;
      else if (name == "integer") schema.integer = true;
      else if (name == "null") schema.literals.push_back("null");
      else if (name == "boolean") schema.literals.insert(schema.literals.end(), {"true", "false"});
      else return Wrong(Under(path, "type"), "object, array, string, number, integer, boolean or null");
    }
    return absl::OkStatus();
  }

  absl::Status ReadObject(const Json& json, const std::string& path, uint32_t depth, JsonValueSchema& schema) {
    const Json properties = json.value("properties", Json::object());
    if (!properties.is_object()) return Wrong(Under(path, "properties"), "an object of schemas");
    for (const auto& member : properties.items()) {
      const std::string place = Under(Under(path, "properties"), member.key().substr(0, 60));
      ASSIGN_OR_RETURN(Schema value, Read(member.value(), place, depth + 1));
      const std::string quoted = Written(Json(member.key()));
      schema.properties.push_back({.key = quoted.substr(1, quoted.size() - 2), .value = std::move(value)});
    }
    RETURN_IF_ERROR(ReadRequired(json, path, schema));
    const Json others = json.value("additionalProperties", Json(true));
    if (others.is_object()) {
      ASSIGN_OR_RETURN(schema.other, Read(others, Under(path, "additionalProperties"), depth + 1));
    } else if (!others.is_boolean()) {
      return Wrong(Under(path, "additionalProperties"), "true, false or a schema");
    } else {
      schema.closed = !others.get<bool>();
      schema.other = AnyJsonValue();
    }
    return absl::OkStatus();
  }

  static absl::Status ReadRequired(const Json& json, const std::string& path, JsonValueSchema& schema) {
    const Json required = json.value("required", Json::array());
    if (!required.is_array()) return Wrong(Under(path, "required"), "a list of names");
    for (const Json& name : required) {
      if (!name.is_string()) return Wrong(Under(path, "required"), "a list of names");
      const std::string quoted = Written(name);
      const auto found = std::find_if(
          schema.properties.begin(), schema.properties.end(),
          [&](const JsonValueSchema::Property& one) { return one.key == quoted.substr(1, quoted.size() - 2); });
      if (found == schema.properties.end()) return Wrong(Under(path, "required"), "names of properties alone");
      found->required = true;
    }
    return absl::OkStatus();
  }

  absl::Status ReadArray(const Json& json, const std::string& path, uint32_t depth, JsonValueSchema& schema) {
    schema.items = AnyJsonValue();
    if (json.contains("items")) {
      ASSIGN_OR_RETURN(schema.items, Read(json["items"], Under(path, "items"), depth + 1));
    }
    for (const auto& [key, value] : {std::pair("minItems", &schema.min_items), std::pair("maxItems", &schema.max_items)}) {
      if (!json.contains(key)) continue;
      if (!json[key].is_number_unsigned() || json[key].get<uint64_t>() > kMaxJsonItems) {
        return Wrong(Under(path, key), fmt::format("a whole number from 0 to {}", kMaxJsonItems));
      }
      *value = json[key].get<uint32_t>();
    }
    if (schema.min_items > schema.max_items) return Wrong(Under(path, "minItems"), "no more than maxItems");
    return absl::OkStatus();
  }
};

}  // namespace

std::shared_ptr<const JsonValueSchema> AnyJsonValue() {
  JsonValueSchema any;  // what is nested is like it
  any.object = any.array = any.string = any.number = true;
  any.literals = {"true", "false", "null"};
  return std::make_shared<const JsonValueSchema>(std::move(any));
}

std::shared_ptr<const JsonValueSchema> AnyJsonObject() {
  JsonValueSchema object;
  object.object = true;
  object.other = AnyJsonValue();
  return std::make_shared<const JsonValueSchema>(std::move(object));
}

absl::StatusOr<std::shared_ptr<const JsonValueSchema>> ParseJsonSchema(std::string_view text) {
  if (text.size() > kMaxJsonSchemaBytes) {
    return absl::ResourceExhaustedError(fmt::format("the schema has over {} bytes", kMaxJsonSchemaBytes));
  }
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return Wrong("", "JSON");
  return SchemaReader().Read(json, "", 0);
}

}  // namespace fleetune
