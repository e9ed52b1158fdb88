#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/random.h"

namespace fleetune {

// The token in the file at `path`, without white space around it; made of `random`, with mode 0600, if there is no file.
// FailedPrecondition if others than its owner may read the file; InvalidArgument unless it is 16 to 256 printable ASCII
// characters without a space. Messages never hold it.
absl::StatusOr<std::string> FindOrMakeAccessToken(const std::string& path, RandomSource& random);

// Whether an Authorization header is "Bearer <token>"; takes as long for a wrong token as for the right one.
bool IsAuthorized(std::string_view authorization, std::string_view token);

}  // namespace fleetune
