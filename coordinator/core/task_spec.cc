#include "coordinator/core/task_spec.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"

namespace fleetune {
namespace {

absl::Status CheckSeconds(const char* field, std::chrono::seconds value, std::chrono::seconds low,
                          std::chrono::seconds high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(std::string(field) + ": expected " + std::to_string(low.count()) + " to " +
                                    std::to_string(high.count()) + " seconds, got " + std::to_string(value.count()));
}

absl::Status CheckCount(const char* field, uint64_t value, uint64_t low, uint64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(std::string(field) + ": expected " + std::to_string(low) + " to " +
                                    std::to_string(high) + ", got " + std::to_string(value));
}

absl::Status ValidateCells(const TaskSpec& spec) {
  const SecurePlan& secure = spec.plan.secure;
  RETURN_IF_ERROR(CheckCount("secure.cell_devices", spec.cells.largest, secure.min_cohort, kMaxSummedInputs));
  if (spec.invited_devices < secure.min_cohort) {
    return absl::InvalidArgumentError("round.invited: expected at least secure.min_cohort, " +
                                      std::to_string(secure.min_cohort) + ", got " +
                                      std::to_string(spec.invited_devices));
  }
  const std::pair<const char*, std::chrono::seconds> times[] = {{"secure.seat_seconds", spec.cells.seat_time},
                                                                {"secure.share_seconds", spec.cells.share_time},
                                                                {"secure.input_seconds", spec.cells.input_time},
                                                                {"secure.view_seconds", spec.cells.view_time},
                                                                {"secure.unmask_seconds", spec.cells.unmask_time}};
  for (const auto& [field, time] : times) {
    RETURN_IF_ERROR(CheckSeconds(field, time, std::chrono::seconds(1), std::chrono::hours(24)));
  }
  return absl::OkStatus();
}

}  // namespace

bool IsDeviceTag(std::string_view tag) {
  return !tag.empty() && tag.size() <= 64 &&
         std::ranges::all_of(tag, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

uint32_t TaskSpec::most_together() const {
  const bool in_cells = secure() && plan.encoding.lane_bits < 32;
  return in_cells ? std::min(invited_devices, cells.largest) : invited_devices;
}

absl::Status Validate(const TaskSpec& spec) {
  RETURN_IF_ERROR(Validate(spec.plan));
  if (!spec.device_tag.empty() && !IsDeviceTag(spec.device_tag)) {
    return absl::InvalidArgumentError("device_tag: expected at most 64 lower-case letters, digits and hyphens");
  }
  RETURN_IF_ERROR(CheckCount("round.invited", spec.invited_devices, 1, kMaxSummedInputs));
  RETURN_IF_ERROR(CheckCount("round.needed", spec.needed_updates, 1, spec.invited_devices));
  RETURN_IF_ERROR(CheckSeconds("round.deadline_seconds", spec.round_deadline, std::chrono::seconds(10),
                               std::chrono::hours(7 * 24)));
  RETURN_IF_ERROR(CheckSeconds("round.linger_seconds", spec.round_linger, std::chrono::seconds(0),
                               std::chrono::hours(7 * 24)));
  RETURN_IF_ERROR(
      CheckSeconds("round.poll_seconds", spec.poll_interval, std::chrono::seconds(1), std::chrono::hours(24)));
  RETURN_IF_ERROR(CheckCount("max_inputs", spec.plan.encoding.max_inputs, spec.most_together(), kMaxSummedInputs));
  if (spec.secure()) RETURN_IF_ERROR(ValidateCells(spec));
  RETURN_IF_ERROR(CheckCount("server.refactor_every", spec.refactor_every, 0, 1'000'000));
  if (spec.refactor_every > 0 && spec.plan.train.control_variates) {
    return absl::InvalidArgumentError(
        "server.refactor_every: expected 0 with control_variates, which belong to factors that a refactoring gives up");
  }
  const absl::Status server = Validate(spec.server);
  if (!server.ok()) return absl::InvalidArgumentError("server." + std::string(server.message()));
  return absl::OkStatus();
}

}  // namespace fleetune
