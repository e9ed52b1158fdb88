#pragma once

#include <chrono>
#include <cstdint>

namespace fleetune {

// Wall time in whole milliseconds since 1970-01-01 UTC: what is stored and sent.
using TimePoint = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;

inline int64_t ToMillis(TimePoint time) { return time.time_since_epoch().count(); }
inline TimePoint FromMillis(int64_t millis) { return TimePoint(std::chrono::milliseconds(millis)); }

// Where time comes from. Passed in, so that tests own it. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint Now() const = 0;
};

// The machine's clock.
class SystemClock final : public Clock {
 public:
  TimePoint Now() const override {
    return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
  }
};

}  // namespace fleetune
