#include "client/app/serving_facts.h"

#include <optional>
#include <string>

#include <fmt/format.h>

#include "client/app/print.h"

namespace fleetune {
namespace {

constexpr uint64_t kMegabyte = 1'000'000;

nlohmann::json OrNull(const std::optional<double>& value) {
  return value.has_value() ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

std::string AnswerWords(const ServingRecord& serving, const std::optional<double>& share) {
  if (!share.has_value()) return fmt::format("none since {}", FormatTime(serving.since));
  std::string words = fmt::format("{} since {}, {:.1f} % of them within {} ms", serving.answers, FormatTime(serving.since),
                                  100 * *share, serving.answer_time.count());
  if (serving.reading_speed.has_value()) words += fmt::format("; reads {:.1f} tokens/s", *serving.reading_speed);
  if (serving.writing_speed.has_value()) words += fmt::format("; writes {:.1f} tokens/s", *serving.writing_speed);
  return words;
}

std::string MemoryWords(const ServingRecord& serving, const DeviceBudget& budget) {
  if (serving.memory_bytes == 0) return "not told by this machine";
  return fmt::format("{} MB of {} MB now; the daemon had {} MB at most", serving.memory_bytes / kMegabyte,
                     budget.memory_bytes / kMegabyte, serving.most_memory_bytes / kMegabyte);
}

}  // namespace

nlohmann::json ServingFacts(const ServingRecord& serving, const DeviceBudget& budget) {
  std::optional<double> share;
  if (serving.answers > 0) share = static_cast<double>(serving.in_budget) / static_cast<double>(serving.answers);
  return {{"since", ToMillis(serving.since)},
          {"answers", serving.answers},
          {"answer_budget_ms", serving.answer_time.count()},
          {"share_in_budget", OrNull(share)},
          {"prompt_tokens", serving.read_tokens},
          {"answer_tokens", serving.written_tokens},
          {"prefill_tokens_per_second", OrNull(serving.reading_speed)},
          {"decode_tokens_per_second", OrNull(serving.writing_speed)},
          {"memory_megabytes", serving.memory_bytes / kMegabyte},
          {"most_memory_megabytes", serving.most_memory_bytes / kMegabyte},
          {"memory_budget_megabytes", budget.memory_bytes / kMegabyte},
          {"answer_words", AnswerWords(serving, share)},
          {"memory_words", MemoryWords(serving, budget)}};
}

}  // namespace fleetune
