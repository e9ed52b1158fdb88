#include "client/update/control_fetch.h"

#include <fmt/format.h>

#include "base/crypto/sha256.h"
#include "base/status_macros.h"

namespace fleetune {

absl::StatusOr<bool> ControlFetch::Fetch(uint32_t most_parts, CoordinatorLink& link) {
  for (uint32_t i = 0; i < most_parts && !done_; ++i) {
    ASSIGN_OR_RETURN(const ControlPart part, link.FetchControl(round_, bytes_.size()));
    if (const absl::Status added = Add(part); !added.ok()) {
      bytes_.clear();
      return added;
    }
  }
  return done_;
}

absl::Status ControlFetch::Add(const ControlPart& part) {
  const uint64_t whole = values_ * sizeof(float);
  if (part.size != 0 && part.size != whole) {
    return absl::InvalidArgumentError(fmt::format("control variates of round {}: expected {} bytes, or none, got {}",
                                                  round_, whole, part.size));
  }
  if (!bytes_.empty() && part.sha256 != sha256_) {
    return absl::DataLossError(fmt::format("control variates of round {}: they changed on the way", round_));
  }
  sha256_ = part.sha256;
  bytes_.insert(bytes_.end(), part.bytes.begin(), part.bytes.end());
  if (bytes_.size() < part.size) return absl::OkStatus();
  if (bytes_.size() > part.size || Sha256(bytes_) != sha256_) {
    return absl::DataLossError(
        fmt::format("control variates of round {}: expected bytes of hash {}, got others", round_, sha256_.ToHex()));
  }
  done_ = true;
  return absl::OkStatus();
}

}  // namespace fleetune
