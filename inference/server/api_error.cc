#include "inference/server/api_error.h"

#include "absl/strings/cord.h"
#include "base/check.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace fleetune {
namespace {

constexpr char kFieldPayload[] = "fleetune/field";

nlohmann::ordered_json OrNull(const std::string& text) {
  return text.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(text);
}

}  // namespace

absl::Status FieldError(absl::StatusCode code, std::string_view field, std::string_view message) {
  absl::Status status(code, std::string(message));
  status.SetPayload(kFieldPayload, absl::Cord(std::string(field)));
  return status;
}

absl::Status WrongField(std::string_view field, std::string_view expected) {
  return FieldError(absl::StatusCode::kInvalidArgument, field, fmt::format("{}: expected {}", field, expected));
}

ApiError ToApiError(const absl::Status& status) {
  CHECK(!status.ok());
  ApiError error = {.message = std::string(status.message()), .type = "invalid_request_error", .param = {}, .code = {}};
  if (const auto field = status.GetPayload(kFieldPayload); field.has_value()) error.param = std::string(*field);
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition: error.http_status = 400; break;
    case absl::StatusCode::kUnauthenticated:
      error.http_status = 401;
      error.type = "authentication_error";
      error.code = "invalid_api_key";
      break;
    case absl::StatusCode::kPermissionDenied: error.http_status = 403; break;
    case absl::StatusCode::kNotFound:
      error.http_status = 404;
      if (error.param == "model") error.code = "model_not_found";
      break;
    case absl::StatusCode::kResourceExhausted:
      error.http_status = 429;
      error.type = "rate_limit_error";
      error.code = "queue_full";
      break;
    case absl::StatusCode::kUnavailable:
      error.http_status = 503;
      error.type = "server_error";
      break;
    default:
      error.http_status = 500;
      error.type = "server_error";
  }
  return error;
}

std::string FormatError(const ApiError& error) {
  const nlohmann::ordered_json json = {{"error",
                                        {{"message", error.message},
                                         {"type", error.type},
                                         {"param", OrNull(error.param)},
                                         {"code", OrNull(error.code)}}}};
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace fleetune
