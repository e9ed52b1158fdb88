#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "client/core/ports.h"

namespace fleetune {

// The server's control variates of one round on their way here, in memory: a restart asks for them again, as the round
// may be another one then. Not thread-safe.
class ControlFetch {
 public:
  // Of `values` floats.
  ControlFetch(std::string round, uint64_t values) : round_(std::move(round)), values_(values) {}

  // Fetches up to `most_parts` more parts from where it stopped. True once all are here; false: call again. Errors of
  // the link, and what came before stays. InvalidArgument: they are of another number of values. DataLoss: the parts do
  // not hash to what was announced, or are of two announcements; the next call begins anew.
  absl::StatusOr<bool> Fetch(uint32_t most_parts, CoordinatorLink& link);

  const std::string& round() const { return round_; }
  bool done() const { return done_; }
  const Bytes& bytes() const { return bytes_; }  // ReadServerControl; whole once done()

 private:
  absl::Status Add(const ControlPart& part);

  std::string round_;
  uint64_t values_;
  Digest sha256_{};  // of the whole, as announced
  Bytes bytes_;
  bool done_ = false;
};

}  // namespace fleetune
