// Bodies of the API never crash a parser, and what is taken is within its limits.

#include <cstdint>

#include "base/bytes.h"
#include "base/check.h"
#include "inference/server/api_error.h"
#include "inference/server/api_request.h"

namespace {

void CheckRefused(const absl::Status& status) {
  const fleetune::ApiError error = fleetune::ToApiError(status);
  CHECK(error.http_status == 400 && !error.message.empty());
  (void)fleetune::FormatError(error);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view body = fleetune::AsText({bytes, size});
  const fleetune::ApiLimits limits;
  for (const auto parse : {fleetune::ParseChatRequest, fleetune::ParseCompletionRequest}) {
    const auto request = parse(body, limits);
    if (!request.ok()) {
      CheckRefused(request.status());
      continue;
    }
    CHECK(fleetune::Validate(request->options).ok());
    CHECK(request->options.max_tokens <= limits.max_tokens && request->options.stop.size() <= limits.max_stop_strings);
    CHECK(request->seed.value_or(0) <= fleetune::kMaxApiSeed && !request->model.empty());
  }
  if (const auto request = fleetune::ParseEmbeddingsRequest(body, limits); !request.ok()) CheckRefused(request.status());
  if (const auto request = fleetune::ParseFeedbackRequest(body, limits); request.ok()) {
    CHECK(request->good == request->correction.empty());
  } else {
    CheckRefused(request.status());
  }
  return 0;
}
