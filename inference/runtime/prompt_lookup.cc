#include "inference/runtime/prompt_lookup.h"

#include <algorithm>

namespace fleetune {

PromptLookup::PromptLookup(size_t most) : most_(most), length_(std::min(kFirstDraft, most)) {}

void PromptLookup::Saw(std::span<const int32_t> tokens) {
  if (most_ > 0) tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
}

std::vector<int32_t> PromptLookup::Draft(size_t room) const {
  std::vector<int32_t> draft;
  if (most_ == 0 || tokens_.size() < resume_at_) return draft;
  const size_t from = FindContinuation();
  if (from == tokens_.size()) return draft;
  const size_t size = std::min(room, length_);
  // Past the end it goes on with itself: a loop goes round.
  for (size_t i = from; draft.size() < size; ++i) {
    draft.push_back(i < tokens_.size() ? tokens_[i] : draft[i - tokens_.size()]);
  }
  return draft;
}

size_t PromptLookup::FindContinuation() const {
  const size_t size = tokens_.size();
  size_t found = size;
  size_t longest = kLeastMatch - 1;
  for (size_t from = size - std::min<size_t>(size, 1); from > longest; --from) {
    size_t match = 0;
    while (match < kLongestMatch && match < from && tokens_[from - 1 - match] == tokens_[size - 1 - match]) ++match;
    if (match <= longest) continue;
    longest = match;
    found = from;
    if (longest == kLongestMatch) break;
  }
  return found;
}

void PromptLookup::Learn(size_t drafted, size_t accepted) {
  if (accepted == 0) {
    length_ = std::max<size_t>(1, length_ / 2);
    ++misses_;
    resume_at_ = tokens_.size() + std::min(kLongestPause, size_t{1} << std::min<size_t>(misses_, 16));
    return;
  }
  misses_ = 0;
  length_ = accepted == drafted ? std::min(most_, 2 * length_) : std::min(most_, accepted + 1);
}

}  // namespace fleetune
