#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace fleetune {

// InvalidArgument that names the field of a request ("messages[2].role") which is not as it should be.
absl::Status WrongField(std::string_view field, std::string_view expected);
// The same for a field that is right but cannot be fulfilled; `message` is whole.
absl::Status FieldError(absl::StatusCode code, std::string_view field, std::string_view message);

// An error as OpenAI's API gives it.
struct ApiError {
  int http_status = 500;
  std::string message;
  std::string type;   // "invalid_request_error", "authentication_error", "rate_limit_error", "server_error"
  std::string param;  // the field; empty: none
  std::string code;   // "model_not_found", "invalid_api_key", "queue_full"; empty: none
};

// InvalidArgument and FailedPrecondition are 400, Unauthenticated 401, PermissionDenied 403, NotFound 404, ResourceExhausted
// 429, Unavailable 503; all else is 500. Requires an error; checked.
ApiError ToApiError(const absl::Status& status);

// {"error": {"message", "type", "param", "code"}}, absent ones null.
std::string FormatError(const ApiError& error);

}  // namespace fleetune
