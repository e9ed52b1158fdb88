#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "base/clock.h"
#include "client/app/daemon_stores.h"
#include "client/app/prompt_server.h"

namespace fleetune {

// What answers came to is written at most this often: a store on flash should not wear out by it.
inline constexpr std::chrono::milliseconds kServingNews{2000};

// Keeps a daemon's prompt server up to date, and writes for `status` what its answers came to since the daemon began. Not
// thread-safe.
class ServingWatch {
 public:
  struct Parts {
    PromptServer* server = nullptr;  // null: nobody answers
    DaemonStores* stores = nullptr;
    const Clock* clock = nullptr;
    std::chrono::milliseconds answer_time{};  // for one answer
  };
  // All borrowed.
  explicit ServingWatch(const Parts& parts) : parts_(parts) {}

  // What the last daemon's answers came to is forgotten. Errors of the state store.
  absl::Status Start();

  // The shelves changed. What cannot be served now may be after the next change; the log says what.
  void Refresh();

  // Refreshes if that is due, and writes what is new. `training_bytes`: that a training of the daemon's holds. Errors of the
  // state store.
  absl::Status Look(uint64_t training_bytes);

 private:
  ServingRecord Now(uint64_t training_bytes) const;

  const Parts parts_;
  TimePoint since_;
  std::optional<ServingRecord> told_;
  TimePoint told_at_;
};

}  // namespace fleetune
