#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "inference/runtime/answer_text.h"
#include "inference/runtime/generator.h"
#include "inference/runtime/json_mask.h"
#include "inference/runtime/pass_plan.h"
#include "inference/runtime/prompt_lookup.h"
#include "inference/runtime/sampler.h"

namespace fleetune {

// One answer being made, step by step: it says which tokens its sequence should read next (Next), somebody reads them, and
// it chooses from their logits (Take). Drafts among them change no token: a position is drawn from its own logits with the
// sampler's next random number, as without them, and what follows a token that the draft did not foresee is forgotten.
// Used once. Not thread-safe.
class AnswerRun {
 public:
  // Borrows all. Requires what Generator::Check checks.
  AnswerRun(const Generator& generator, const AnswerRequest& request, AnswerReader& reader, PromptCache* cache);

  // Starts the sequence, maybe with a part of the prompt read already. Once, before all else.
  absl::Status Begin();

  size_t prompt_left() const { return prompt_.size() - std::min(prompt_.size(), read_.size()); }
  Sequence& sequence() { return *sequence_; }

  // Tokens to be read, and after how many of the last of them the logits are wanted.
  struct Wish {
    std::span<const int32_t> tokens;  // until Take; none: the answer is over, and all its text was given out
    size_t rows = 0;
  };
  Wish Next(const PassShare& share);

  // Chooses tokens and gives out what they make certain. Requires that the sequence has read the last wish, and its logits.
  // After an error the answer is not to be gone on with.
  absl::Status Take(std::span<const float> logits);

  // Once, after it was over: keeps the sequence in the cache.
  Generated Finish();

 private:
  absl::Status TakeAnswer(std::span<const float> logits);
  // Chooses the token after `logits`: last_. Maybe the answer is over with it.
  absl::Status Choose(std::span<const float> logits);
  absl::StatusOr<int32_t> Sample(std::span<const float> logits);
  absl::StatusOr<ChosenToken> Describe(int32_t token, std::span<const float> logits) const;
  // Whether it must end before more is computed.
  bool IsOver();
  void End(StopReason reason) { over_ = reason; }
  void Give(std::string_view text);

  const Generator& generator_;
  const AnswerRequest& request_;
  const std::span<const int32_t> prompt_;
  const GenerateOptions& options_;
  AnswerReader& reader_;
  PromptCache* const cache_;
  const std::chrono::steady_clock::time_point begin_;
  const uint32_t room_;  // tokens of the answer

  Sampler sampler_;
  AnswerText text_;
  PromptLookup lookup_;
  std::optional<JsonMask> json_;
  std::unique_ptr<Sequence> sequence_;
  std::vector<int32_t> read_;     // by the sequence, but for the wish
  std::vector<int32_t> wish_;
  int32_t last_ = 0;              // chosen, not read yet
  std::optional<std::chrono::steady_clock::time_point> prompt_read_;  // when it was
  std::optional<StopReason> over_;
  size_t told_ = 0;  // of result_.tokens
  Generated result_;
};

}  // namespace fleetune
