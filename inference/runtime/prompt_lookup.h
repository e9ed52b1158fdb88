#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fleetune {

// Drafts of what comes next, from what was said before (prompt lookup decoding, Saxena 2023): where the last tokens stood
// already, the text may go on as it did there. A draft costs little where it is right, and something where it is wrong, so
// drafts grow while they come true, and are left off for a while where they do not. The same tokens give the same drafts.
// Not thread-safe.
class PromptLookup {
 public:
  static constexpr size_t kLongestMatch = 4;   // tokens that must stand there alike: as many as there are, at most these
  static constexpr size_t kLeastMatch = 2;     // one token alone says too little
  static constexpr size_t kFirstDraft = 3;     // tokens, before anything is known
  static constexpr size_t kLongestPause = 64;  // tokens without a draft after many that were wrong

  // `most`: tokens of a draft at most; 0: there are none.
  explicit PromptLookup(size_t most);

  // What was read or chosen, in order.
  void Saw(std::span<const int32_t> tokens);

  // Tokens that may come after those seen, at most `room`; maybe none.
  std::vector<int32_t> Draft(size_t room) const;

  // What became of a draft that was not empty: so many of its tokens came, from its first on.
  void Learn(size_t drafted, size_t accepted);

 private:
  // Where what followed the last tokens begins, the latest of the longest matches; tokens_.size() if there is none.
  size_t FindContinuation() const;

  const size_t most_;
  std::vector<int32_t> tokens_;
  size_t length_;           // of the next draft
  size_t misses_ = 0;       // drafts in a row of which nothing came
  size_t resume_at_ = 0;    // no draft before so many tokens
};

}  // namespace fleetune
