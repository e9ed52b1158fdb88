#include "client/app/serving_watch.h"

#include <string>
#include <vector>

#include <spdlog/spdlog.h>

#include "base/status_macros.h"
#include "client/governor/machine_readings.h"

namespace fleetune {
namespace {

// Memory that comes and goes by less than this is no news.
constexpr uint64_t kMemoryStep = 16'000'000;

bool IsNews(const ServingRecord& now, const ServingRecord& told) {
  const uint64_t difference =
      now.memory_bytes > told.memory_bytes ? now.memory_bytes - told.memory_bytes : told.memory_bytes - now.memory_bytes;
  return now.answers != told.answers || difference >= kMemoryStep;
}

}  // namespace

absl::Status ServingWatch::Start() {
  since_ = parts_.clock->Now();
  if (parts_.server == nullptr) return parts_.stores->state.WriteServing(std::nullopt);
  return Look(/*training_bytes=*/0);
}

void ServingWatch::Refresh() {
  if (parts_.server == nullptr) return;
  const auto news = parts_.server->Refresh(parts_.stores->adapters, parts_.stores->models);
  if (!news.ok()) return spdlog::warn("api: {}", std::string(news.status().message()));
  for (const std::string& one : *news) spdlog::info("{}", one);
}

absl::Status ServingWatch::Look(uint64_t training_bytes) {
  if (parts_.server == nullptr) return absl::OkStatus();
  if (parts_.server->IsStale()) Refresh();
  const TimePoint now = parts_.clock->Now();
  if (told_.has_value() && now >= told_at_ && now - told_at_ < kServingNews) return absl::OkStatus();
  const ServingRecord record = Now(training_bytes);
  if (told_.has_value() && !IsNews(record, *told_)) return absl::OkStatus();
  RETURN_IF_ERROR(parts_.stores->state.WriteServing(record));
  told_ = record;
  told_at_ = now;
  return absl::OkStatus();
}

ServingRecord ServingWatch::Now(uint64_t training_bytes) const {
  const AnswerFigures figures = parts_.server->figures();
  const OwnMemory memory = ReadOwnMemory({}).value_or(OwnMemory{});
  return {.since = since_,
          .answers = figures.answers,
          .in_budget = figures.in_budget,
          .answer_time = parts_.answer_time,
          .read_tokens = figures.read_tokens,
          .written_tokens = figures.written_tokens,
          .reading_speed = figures.reading_speed(),
          .writing_speed = figures.writing_speed(),
          .memory_bytes = memory.resident_bytes + training_bytes,
          .most_memory_bytes = memory.most_bytes};
}

}  // namespace fleetune
