#pragma once

#include <ostream>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"

namespace fleetune {
namespace status_matchers {
inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}
}  // namespace status_matchers

MATCHER(IsOk, "is OK") {
  const absl::Status& status = status_matchers::StatusOf(arg);
  *result_listener << status.ToString();
  return status.ok();
}

// The code, and a part of the message that a person must find there.
MATCHER_P2(HasStatus, code, part, "") {
  const absl::Status& status = status_matchers::StatusOf(arg);
  *result_listener << status.ToString();
  return status.code() == code && std::string(status.message()).find(part) != std::string::npos;
}

}  // namespace fleetune
