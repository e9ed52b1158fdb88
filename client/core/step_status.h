#pragma once

#include <string>

#include "absl/status/status.h"

namespace fleetune {

// How the agent reads the failure of a step.

inline std::string Words(const absl::Status& status) { return std::string(status.message()); }

// The same call may work later.
inline bool IsTransient(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kDataLoss:
      return false;
    default:
      return true;
  }
}

// The trainer refused for a reason that will be there next time.
inline bool IsHopeless(const absl::Status& status) {
  return status.code() == absl::StatusCode::kInvalidArgument || status.code() == absl::StatusCode::kNotFound ||
         status.code() == absl::StatusCode::kFailedPrecondition ||
         status.code() == absl::StatusCode::kResourceExhausted;
}

}  // namespace fleetune
