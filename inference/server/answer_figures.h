#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "inference/runtime/generator.h"

namespace fleetune {

// What the answers of a server came to since it began. Plain data.
struct AnswerFigures {
  uint64_t answers = 0;         // that somebody waited for to their end
  uint64_t in_budget = 0;       // of them, that took less than the server's time budget
  uint64_t read_tokens = 0;     // of prompts, that were computed; kept ones are not
  uint64_t written_tokens = 0;  // of answers
  std::chrono::nanoseconds read_time{0};
  std::chrono::nanoseconds write_time{0};

  // Tokens a second, while an answer had its turn; none before there were any.
  std::optional<double> reading_speed() const;
  std::optional<double> writing_speed() const;
  std::optional<double> share_in_budget() const;  // 0 .. 1; none before there was an answer

  // Of both together.
  AnswerFigures operator+(const AnswerFigures& other) const;
  friend bool operator==(const AnswerFigures&, const AnswerFigures&) = default;
};

// Counts answers. Thread-safe: a mutex, as requests of many threads end here.
class AnswerCounter {
 public:
  // `budget`: of one answer; 0: there is none, and all are inside.
  explicit AnswerCounter(std::chrono::milliseconds budget) : budget_(budget) {}

  // An answer that nobody wanted any more is left out: how long it would have taken is not known.
  void Count(const Generated& answer);
  AnswerFigures figures() const;

 private:
  const std::chrono::milliseconds budget_;
  mutable Mutex mutex_;
  AnswerFigures figures_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace fleetune
