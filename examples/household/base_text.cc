#include "examples/household/base_text.h"

#include "examples/household/request.h"
#include "fmt/format.h"

namespace fleetune::household {
namespace {

constexpr uint64_t kNotePercent = 20;

std::string Note(SplitMix64& random) {
  const std::string_view place = Pick(Places(), random);
  if (random.Below(4) == 0) {
    return fmt::format("note: {}", Embellish(Fill(Pick(HabitPhrases(), random), place), random));
  }
  const Device& device = Pick(Devices(), random);
  const Action& action = Pick(std::span<const Action>(device.actions), random);
  return fmt::format("note: {}", Embellish(Fill(Pick(action.hints, random), place), random));
}

}  // namespace

std::vector<std::string> BaseParagraphs(uint64_t records, uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<std::string> paragraphs;
  for (uint64_t i = 0; i < records; ++i) {
    if (random.Below(100) < kNotePercent) {
      paragraphs.push_back(Note(random));
      continue;
    }
    const Request request = DirectRequest(Rooms(), Devices(), random);
    paragraphs.push_back(Prompt(request) + Completion(request));
  }
  return paragraphs;
}

}  // namespace fleetune::household
