#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "inference/runtime/json_schema.h"
#include "inference/server/field_reader.h"

namespace fleetune {

// What "response_format" asks an answer to be; null for text. `json` may be null: absent. A json_schema is of type object, as
// OpenAI's are, and is kept to whether "strict" says so or not. Errors of WrongField; of ParseJsonSchema, with the field's name.
absl::StatusOr<std::shared_ptr<const JsonValueSchema>> ReadResponseFormat(const ApiJson* json);

}  // namespace fleetune
