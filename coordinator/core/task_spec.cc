#include "coordinator/core/task_spec.h"

#include <algorithm>

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

}  // namespace

bool IsDeviceTag(std::string_view tag) {
  return !tag.empty() && tag.size() <= 64 &&
         std::ranges::all_of(tag, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

FixedPointOptions TaskSpec::encoding() const {
  return {.clip_norm = plan.encoding.clip_norm,
          .fraction_bits = plan.encoding.fraction_bits,
          .max_weight = plan.encoding.max_weight,
          .max_inputs = invited_devices};
}

absl::Status Validate(const TaskSpec& spec) {
  RETURN_IF_ERROR(Validate(spec.plan));
  if (spec.plan.train.train_a) {
    return absl::InvalidArgumentError(
        "train_a: expected false, since devices of a fleet share A and train B alone; got true");
  }
  if (!spec.device_tag.empty() && !IsDeviceTag(spec.device_tag)) {
    return absl::InvalidArgumentError("device_tag: expected at most 64 lower-case letters, digits and hyphens");
  }
  if (spec.secure_aggregation) {
    return absl::InvalidArgumentError(
        "secure_aggregation: expected \"off\", got \"on\": this coordinator cannot mask updates yet");
  }
  RETURN_IF_ERROR(CheckCount("round.invited", spec.invited_devices, 1, kMaxSummedInputs));
  RETURN_IF_ERROR(CheckCount("round.needed", spec.needed_updates, 1, spec.invited_devices));
  RETURN_IF_ERROR(CheckSeconds("round.deadline_seconds", spec.round_deadline, std::chrono::seconds(10),
                               std::chrono::hours(7 * 24)));
  RETURN_IF_ERROR(
      CheckSeconds("round.poll_seconds", spec.poll_interval, std::chrono::seconds(1), std::chrono::hours(24)));
  RETURN_IF_ERROR(Validate(spec.encoding()));
  const absl::Status server = Validate(spec.server);
  if (!server.ok()) return absl::InvalidArgumentError("server." + std::string(server.message()));
  return absl::OkStatus();
}

}  // namespace fleetune
