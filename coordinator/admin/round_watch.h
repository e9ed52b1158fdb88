#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "coordinator/admin/session.h"

namespace fleetune {

// How a round stands, in one line.
std::string RoundLine(const v1::RoundSummary& round, int64_t now_ms);

// Follows a round until it has ended, on standard error: a live line on a terminal, a line for each change in a pipe.
// A coordinator that is away is waited for, up to two minutes. Returns the round as it ended.
absl::StatusOr<v1::RoundSummary> WatchRound(AdminConnection& connection, const std::string& id);

}  // namespace fleetune
