#include "inference/server/system_prompts.h"

#include <memory>
#include <utility>

#include "fmt/format.h"

namespace fleetune {

SystemPrompts::SystemPrompts(PromptFiles* files, PromptCache* cache, Tell tell)
    : files_(files), cache_(cache), tell_(std::move(tell)), writer_(kMostWaiting) {}

bool SystemPrompts::Recall(const PromptBeginning& beginning) {
  if (cache_->Has(beginning.tokens, beginning.adapter)) return false;
  const absl::StatusOr<std::unique_ptr<Sequence>> sequence = files_->Find(beginning);
  if (sequence.ok()) {
    cache_->Keep(**sequence, beginning.tokens, beginning.adapter);
    return false;
  }
  if (!absl::IsNotFound(sequence.status())) {
    tell_(fmt::format("a kept system prompt is computed anew: {}", std::string(sequence.status().message())));
  }
  return true;
}

void SystemPrompts::Keep(const PromptBeginning& beginning) {
  std::vector<int32_t> prompt = beginning.tokens;
  prompt.push_back(0);  // what comes next: any token
  std::shared_ptr<const Sequence> sequence = cache_->Find(prompt, beginning.adapter);
  if (sequence == nullptr || sequence->position() != beginning.tokens.size()) return;
  // Whether it has its turn: another answer that needs it after a restart will try again.
  (void)writer_.Post([this, beginning, sequence = std::move(sequence)] {
    const absl::Status kept = files_->Keep(beginning, *sequence);
    if (!kept.ok()) tell_(fmt::format("a system prompt is not kept: {}", std::string(kept.message())));
  });
}

}  // namespace fleetune
