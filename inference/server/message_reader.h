#pragma once

#include "absl/status/statusor.h"
#include "inference/server/api_request.h"
#include "inference/server/field_reader.h"

namespace fleetune {

// The messages of a chat; `json` may be null: absent. Contents are strings, or lists of parts of type "text", which are
// joined. The role "developer" is "system". Errors of WrongField.
absl::StatusOr<ApiMessages> ReadMessages(const ApiJson* json, uint32_t max_messages);

}  // namespace fleetune
