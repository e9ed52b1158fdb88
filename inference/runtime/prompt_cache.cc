#include "inference/runtime/prompt_cache.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace fleetune {
namespace {

size_t SharedTokens(std::span<const int32_t> a, std::span<const int32_t> b) {
  const size_t size = std::min(a.size(), b.size());
  return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(size), b.begin()).first -
                             a.begin());
}

}  // namespace

std::unique_ptr<Sequence> PromptCache::Find(std::span<const int32_t> prompt,
                                            const std::shared_ptr<const Adapter>& adapter) {
  if (prompt.empty()) return nullptr;
  std::shared_ptr<const Sequence> found;
  size_t shared = kLeastShared - 1;
  {
    MutexLock lock(&mutex_);
    auto best = entries_.end();
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (entry->adapter != adapter) continue;
      const size_t here = SharedTokens(entry->tokens, prompt.first(prompt.size() - 1));
      if (here <= shared) continue;
      shared = here;
      best = entry;
    }
    if (best == entries_.end()) return nullptr;
    found = best->sequence;
    entries_.splice(entries_.begin(), entries_, best);
  }
  return found->Fork(static_cast<uint32_t>(shared));
}

bool PromptCache::Has(std::span<const int32_t> tokens, const std::shared_ptr<const Adapter>& adapter) const {
  MutexLock lock(&mutex_);
  return std::ranges::any_of(entries_, [&](const Entry& entry) {
    return entry.adapter == adapter && SharedTokens(entry.tokens, tokens) == tokens.size();
  });
}

void PromptCache::Keep(const Sequence& sequence, std::vector<int32_t> tokens, std::shared_ptr<const Adapter> adapter) {
  CHECK(tokens.size() == sequence.position());
  const uint64_t size = sequence.cache_bytes();
  if (size > max_bytes_) return;
  std::shared_ptr<const Sequence> kept = sequence.Fork(sequence.position());
  std::list<Entry> dropped;  // freed after the lock
  MutexLock lock(&mutex_);
  const auto drop = [&](std::list<Entry>::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    bytes_ -= entry->bytes;
    const auto next = std::next(entry);
    dropped.splice(dropped.end(), entries_, entry);
    return next;
  };
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const bool is_beginning = entry->adapter == adapter && SharedTokens(entry->tokens, tokens) == entry->tokens.size();
    entry = is_beginning ? drop(entry) : std::next(entry);
  }
  while (bytes_ + size > max_bytes_) drop(std::prev(entries_.end()));
  bytes_ += size;
  entries_.push_front({.sequence = std::move(kept), .tokens = std::move(tokens), .adapter = std::move(adapter), .bytes = size});
}

void PromptCache::Forget(const std::shared_ptr<const Adapter>& adapter) {
  MutexLock lock(&mutex_);
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    if (entry->adapter != adapter) {
      ++entry;
      continue;
    }
    bytes_ -= entry->bytes;
    entry = entries_.erase(entry);
  }
}

uint64_t PromptCache::bytes() const {
  MutexLock lock(&mutex_);
  return bytes_;
}

}  // namespace fleetune
