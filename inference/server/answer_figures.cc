#include "inference/server/answer_figures.h"

namespace fleetune {
namespace {

std::optional<double> Speed(uint64_t tokens, std::chrono::nanoseconds time) {
  if (tokens == 0 || time.count() <= 0) return std::nullopt;
  return static_cast<double>(tokens) / std::chrono::duration<double>(time).count();
}

}  // namespace

std::optional<double> AnswerFigures::reading_speed() const { return Speed(read_tokens, read_time); }

std::optional<double> AnswerFigures::writing_speed() const { return Speed(written_tokens, write_time); }

std::optional<double> AnswerFigures::share_in_budget() const {
  if (answers == 0) return std::nullopt;
  return static_cast<double>(in_budget) / static_cast<double>(answers);
}

AnswerFigures AnswerFigures::operator+(const AnswerFigures& other) const {
  return {.answers = answers + other.answers,
          .in_budget = in_budget + other.in_budget,
          .read_tokens = read_tokens + other.read_tokens,
          .written_tokens = written_tokens + other.written_tokens,
          .read_time = read_time + other.read_time,
          .write_time = write_time + other.write_time};
}

void AnswerCounter::Count(const Generated& answer) {
  if (answer.reason == StopReason::kCancelled) return;
  const bool in_budget = budget_.count() == 0 || answer.read_time + answer.write_time < budget_;
  const MutexLock lock(&mutex_);
  ++figures_.answers;
  if (in_budget) ++figures_.in_budget;
  // The budget may have ended it amid the prompt, of which nobody knows how much was read.
  if (answer.answer_tokens > 0) {
    figures_.read_tokens += answer.prompt_tokens - answer.cached_tokens;
    figures_.read_time += answer.read_time;
  }
  figures_.written_tokens += answer.answer_tokens;
  figures_.write_time += answer.write_time;
}

AnswerFigures AnswerCounter::figures() const {
  const MutexLock lock(&mutex_);
  return figures_;
}

}  // namespace fleetune
