#include "inference/server/response_format.h"

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/server/api_error.h"

namespace fleetune {

absl::StatusOr<std::shared_ptr<const JsonValueSchema>> ReadResponseFormat(const ApiJson* json) {
  if (json == nullptr) return nullptr;
  if (!json->is_object()) return WrongField("response_format", "an object");
  FieldReader reader(*json, "response_format.");
  std::string type;
  RETURN_IF_ERROR(reader.Text("type", type));
  const ApiJson* named = reader.Take("json_schema");
  RETURN_IF_ERROR(reader.RefuseOthers());
  if (type == "text") return nullptr;
  if (type == "json_object") return AnyJsonObject();
  if (type != "json_schema") return WrongField("response_format.type", "\"text\", \"json_object\" or \"json_schema\"");
  if (named == nullptr || !named->is_object()) return WrongField("response_format.json_schema", "an object");
  FieldReader fields(*named, "response_format.json_schema.");
  std::string name, description;
  bool strict = false;
  RETURN_IF_ERROR(fields.Text("name", name));
  RETURN_IF_ERROR(fields.Text("description", description));
  RETURN_IF_ERROR(fields.Flag("strict", strict));
  const ApiJson* schema = fields.Take("schema");
  RETURN_IF_ERROR(fields.RefuseOthers());
  constexpr std::string_view kSchema = "response_format.json_schema.schema";
  if (schema == nullptr) return WrongField(kSchema, "a JSON Schema");
  auto parsed = ParseJsonSchema(schema->dump(-1, ' ', false, ApiJson::error_handler_t::replace));
  if (!parsed.ok()) {
    return FieldError(absl::StatusCode::kInvalidArgument, kSchema,
                      fmt::format("{}: {}", kSchema, std::string(parsed.status().message())));
  }
  const JsonValueSchema& root = **parsed;
  if (!root.object || root.array || root.string || root.number || root.integer || !root.literals.empty()) {
    return WrongField(kSchema, "a schema of type \"object\"");
  }
  return *std::move(parsed);
}

}  // namespace fleetune
