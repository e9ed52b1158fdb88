#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "inference/runtime/answer_text.h"
#include "inference/runtime/generator.h"
#include "inference/runtime/json_mask.h"
#include "inference/runtime/sampler.h"

namespace fleetune {

// One answer being made: Generator::Answer. Used once, by one thread.
class AnswerRun {
 public:
  // Borrows all. Requires valid options and a prompt that leaves room in the context.
  AnswerRun(const Generator& generator, const AnswerRequest& request, AnswerReader& reader, PromptCache* cache);

  absl::StatusOr<Generated> Run();

 private:
  absl::Status Begin();       // the sequence, maybe with a part of the prompt read already
  absl::Status ReadPrompt();  // leaves logits after it
  // Chooses a token and gives out what it makes certain.
  absl::Status Continue();
  absl::StatusOr<int32_t> Choose();
  absl::StatusOr<ChosenToken> Describe(int32_t token) const;
  // Whether it must end before more is computed.
  bool IsOver();
  void End(StopReason reason) { over_ = reason; }
  void Give(std::string_view text);
  void KeepSequence();

  const Generator& generator_;
  const AnswerRequest& request_;
  const GenerateOptions& options_;
  AnswerReader& reader_;
  PromptCache* const cache_;
  const std::chrono::steady_clock::time_point begin_;
  const uint32_t room_;  // tokens of the answer

  Sampler sampler_;
  AnswerText text_;
  std::optional<JsonMask> json_;
  std::unique_ptr<Sequence> sequence_;
  std::vector<int32_t> read_;  // by the sequence
  std::vector<float> logits_;
  std::optional<StopReason> over_;
  size_t told_ = 0;  // of result_.tokens
  Generated result_;
};

}  // namespace fleetune
