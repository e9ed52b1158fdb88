#pragma once

#include <functional>
#include <string>

#include "base/strand.h"
#include "inference/prompts/prompt_files.h"
#include "inference/runtime/prompt_cache.h"

namespace fleetune {

// What conversations begin with alike, kept in files beside the cache in memory, so that a server that starts anew does not compute
// it again: brought back before an answer that needs it, and written once, by a thread of its own, after the answer that
// computed it. A file that cannot be used costs that computation, and a line for the operator. Thread-safe.
class SystemPrompts {
 public:
  // Of what was left out and why; called by any thread.
  using Tell = std::function<void(const std::string&)>;
  // Borrows files and cache, which may not be null.
  SystemPrompts(PromptFiles* files, PromptCache* cache, Tell tell);

  // Puts it into the cache from its file, unless the cache has it. True if neither had it: who answers computes it, and Keep
  // should follow. Takes as long as reading the file.
  bool Recall(const PromptBeginning& beginning);

  // Has what the cache holds of it written soon, if it is all there. Left out if kMostWaiting wait to be written.
  void Keep(const PromptBeginning& beginning);

  static constexpr size_t kMostWaiting = 4;  // each with keys and values of its own

 private:
  PromptFiles* const files_;
  PromptCache* const cache_;
  const Tell tell_;
  Strand writer_;  // first to end: writes what waits
};

}  // namespace fleetune
