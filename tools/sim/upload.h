#pragma once

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "coordinator/core/fleet.h"

namespace fleetune {

// All calls of an upload, one after the other, to a round or a cell. Counts the bytes as the coordinator's service
// does, but for what the wire adds. Errors of OpenUpload, PutUploadChunk and CommitUpload.
absl::Status SendUpdate(Fleet& fleet, const std::string& device, const std::string& destination, const Bytes& bytes);

// Where an update is on its way into a sum.
struct UploadProgress {
  enum class State { kGoesOn, kCounted, kGivenUp };
  State state = State::kGoesOn;
  std::chrono::milliseconds again_in{};  // of kGoesOn
};

}  // namespace fleetune
