#include "inference/server/api_error.h"

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace fleetune {
namespace {

using absl::StatusCode;

TEST(ApiError, NamesTheField) {
  const ApiError error = ToApiError(WrongField("messages[2].role", "\"user\""));
  EXPECT_EQ(error.http_status, 400);
  EXPECT_EQ(error.param, "messages[2].role");
  const auto json = nlohmann::json::parse(FormatError(error));
  EXPECT_EQ(json["error"]["message"], "messages[2].role: expected \"user\"");
  EXPECT_EQ(json["error"]["type"], "invalid_request_error");
  EXPECT_EQ(json["error"]["param"], "messages[2].role");
  EXPECT_TRUE(json["error"]["code"].is_null());
}

TEST(ApiError, EveryCodeHasItsStatus) {
  const std::pair<StatusCode, int> expected[] = {
      {StatusCode::kInvalidArgument, 400},   {StatusCode::kFailedPrecondition, 400}, {StatusCode::kUnauthenticated, 401},
      {StatusCode::kPermissionDenied, 403},  {StatusCode::kNotFound, 404},           {StatusCode::kResourceExhausted, 429},
      {StatusCode::kUnavailable, 503},       {StatusCode::kInternal, 500},           {StatusCode::kDataLoss, 500}};
  for (const auto& [code, http_status] : expected) {
    EXPECT_EQ(ToApiError(absl::Status(code, "x")).http_status, http_status) << absl::StatusCodeToString(code);
  }
  EXPECT_EQ(ToApiError(absl::UnauthenticatedError("x")).code, "invalid_api_key");
  EXPECT_EQ(ToApiError(absl::ResourceExhaustedError("x")).type, "rate_limit_error");
  EXPECT_EQ(ToApiError(FieldError(StatusCode::kNotFound, "model", "x")).code, "model_not_found");
  EXPECT_EQ(ToApiError(absl::NotFoundError("x")).code, "");
}

TEST(ApiError, WritesAnyBytes) {
  const auto json = nlohmann::json::parse(FormatError(ToApiError(absl::InvalidArgumentError("a\xFFz\""))));
  EXPECT_EQ(json["error"]["message"], "a\xEF\xBF\xBDz\"");
}

}  // namespace
}  // namespace fleetune
