#pragma once

// Early return on error. With CHECK (base/check.h) the only macros of the project.

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Each use makes a name of its own (__COUNTER__, not __LINE__: all of a lambda inside a macro's
// argument is one line), so that uses may stand inside one another.
#define FLEETUNE_CONCAT_INNER_(a, b) a##b
#define FLEETUNE_CONCAT_(a, b) FLEETUNE_CONCAT_INNER_(a, b)

// RETURN_IF_ERROR(Validate(options));
#define RETURN_IF_ERROR(expr) \
  FLEETUNE_RETURN_IF_ERROR_(FLEETUNE_CONCAT_(returned_status_, __COUNTER__), expr)
#define FLEETUNE_RETURN_IF_ERROR_(result, expr)                    \
  do {                                                             \
    if (absl::Status result = (expr); !result.ok()) return result; \
  } while (false)

// ASSIGN_OR_RETURN(Delta delta, DecodeDelta(bytes));
#define ASSIGN_OR_RETURN(lhs, expr) \
  FLEETUNE_ASSIGN_OR_RETURN_(FLEETUNE_CONCAT_(status_or_, __COUNTER__), lhs, expr)
#define FLEETUNE_ASSIGN_OR_RETURN_(result, lhs, expr)   \
  auto result = (expr);                                 \
  if (!result.ok()) return std::move(result).status();  \
  lhs = *std::move(result)
