#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/app/device_folder.h"
#include "client/app/stop_signal.h"

namespace fleetune {

// The verbs of fleetune-client that end at once. Each prints to standard output what people read, or the same facts
// as one JSON object if `json`; what went wrong is the Status.

struct VerbContext {
  DeviceFolder folder;
  bool json = false;
};

absl::Status EnrollVerb(const VerbContext& context, const std::string& token, const std::string& name,
                        const std::string& profile);
absl::Status AddDataVerb(const VerbContext& context, const std::vector<std::string>& files, const std::string& tag);
absl::Status DataStatsVerb(const VerbContext& context);
absl::Status PurgeDataVerb(const VerbContext& context);
absl::Status StatusVerb(const VerbContext& context);
absl::Status AuditVerb(const VerbContext& context, uint32_t entries, bool verify);
absl::Status PauseVerb(const VerbContext& context, bool paused);

struct GenerateRequest {
  std::string prompt;
  std::string task;  // empty: the only one there is
  uint32_t max_tokens = 128;
  float temperature = 0;
  uint64_t seed = 1;
  uint32_t time_budget_ms = 0;  // less than the device's budget; 0: that
  bool base = false;           // without an adapter
  bool no_personal = false;    // without the device's own, with the fleet's alone
  bool parse_special = false;  // names of control tokens in the prompt are these tokens
};
absl::Status GenerateVerb(const VerbContext& context, const GenerateRequest& request);

// The device's own adapter, on top of the fleet's. `trainer`: path of fleetune-trainer. The training is FailedPrecondition
// without [personal] in client.toml, while the daemon trains, and while another is trained; Cancelled by `stop`.
absl::Status TrainPersonalVerb(const VerbContext& context, const std::string& trainer, StopSignal& stop);
absl::Status PersonalStatusVerb(const VerbContext& context);
absl::Status DropPersonalVerb(const VerbContext& context);

}  // namespace fleetune
