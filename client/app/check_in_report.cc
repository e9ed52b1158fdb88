#include "client/app/check_in_report.h"

#include <string>

#include <spdlog/spdlog.h>

namespace fleetune {

CheckInReport ReportOf(const DeviceBudget& budget, const DeviceConditions& conditions,
                       const std::vector<ServedVersion>& served, DaemonStores& stores) {
  CheckInReport report{.software_version = kClientVersion,
                       .profile = budget.profile,
                       .memory_budget_bytes = conditions.memory_bytes,
                       .ready_to_train = !conditions.paused && conditions.may_train,
                       .not_ready_reason = conditions.may_train ? "" : conditions.reason,
                       .versions = served,
                       .examples = {},
                       .models = stores.models.models()};
  const absl::StatusOr<std::vector<TagStats>> stats = stores.examples.Stats();
  if (!stats.ok()) {
    report.ready_to_train = false;
    report.not_ready_reason = "the examples cannot be read";
    spdlog::warn("examples: {}", std::string(stats.status().message()));
    return report;
  }
  for (const TagStats& tag : *stats) report.examples.push_back({.tag = tag.tag, .examples = tag.examples});
  return report;
}

}  // namespace fleetune
