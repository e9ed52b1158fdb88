#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "inference/model/model.h"
#include "inference/runtime/engine.h"
#include "inference/runtime/json_schema.h"
#include "inference/runtime/prompt_cache.h"
#include "inference/tokenizer/tokenizer.h"

namespace fleetune {

class TokenTexts;  // inference/runtime/token_texts.h

struct GenerateOptions {
  uint32_t max_tokens = 128;  // of the answer, 1 .. 32,768
  float temperature = 0.0f;   // this and the next five: SampleOptions
  uint32_t top_k = 0;
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
  uint32_t repetition_window = 64;
  uint64_t seed = 1;
  std::vector<std::string> stop = {};  // the answer ends before any of these
  bool parse_special = false;  // names of control tokens in the prompt become these tokens; only for trusted prompts
  // The log-probability of each token of the answer, and so many of the likeliest in its place, 0 .. kMaxAlternatives.
  std::optional<uint32_t> log_probabilities = {};
  // The answer ends, as it is, with the first token past this time since the call; 0: never. Reading a long prompt may take a
  // part of the prompt (kPromptPart tokens) longer.
  std::chrono::milliseconds time_budget{0};
  // The answer is a value that fits, and ends with it; only max_tokens, the budget or the context cut it off. Null: any text.
  std::shared_ptr<const JsonValueSchema> json = {};
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
  // Tokens at most that are drafted from what was said before and read beside the last one, 0 .. kMaxDraftTokens; 0: none. No
  // token depends on it, only how long the answer takes.
  uint32_t draft_tokens = 8;

  static constexpr uint32_t kMaxAlternatives = 20;
  static constexpr uint32_t kMaxDraftTokens = 32;
  static constexpr size_t kPromptPart = 256;
};
// InvalidArgument naming the first field out of its range.
absl::Status Validate(const GenerateOptions& options);

enum class StopReason { kEndOfText, kStopString, kMaxTokens, kContextFull, kTimeBudget, kCancelled };
// "end_of_text", "stop_string", "max_tokens", "context_full", "time_budget", "cancelled"
std::string_view StopReasonName(StopReason reason);

// One token of an answer with what the model said of it.
struct ChosenToken {
  struct Candidate {
    std::string bytes;  // maybe a part of a character
    double log_probability = 0;
  };
  Candidate chosen;
  std::vector<Candidate> likeliest;  // likeliest first
};

struct Generated {
  std::string text;
  uint32_t prompt_tokens = 0;
  uint32_t cached_tokens = 0;  // of the prompt, that were not computed again
  uint32_t answer_tokens = 0;
  uint32_t drafted_tokens = 0;   // read as a draft
  uint32_t accepted_tokens = 0;  // of them, that came: the answer took so many passes less
  StopReason reason = StopReason::kEndOfText;
  std::vector<ChosenToken> tokens = {};  // if options.log_probabilities
  std::chrono::nanoseconds read_time{0};   // by options.now: of the prompt, but for cached_tokens
  std::chrono::nanoseconds write_time{0};  // from the end of the prompt to that of the answer
};

// Who reads an answer while it is made, called by the thread that makes it.
class AnswerReader {
 public:
  virtual ~AnswerReader() = default;
  // Text that is certain, in whole UTF-8 characters; the pieces together are Generated::text. `tokens`: those chosen since the
  // last call, of which the text may be held back still. Not called if there is neither.
  virtual void Read(std::string_view text, std::span<const ChosenToken> tokens) = 0;
  // Asked before each token and each part of the prompt. false: the answer ends as StopReason::kCancelled.
  virtual bool Wanted() { return true; }
};

struct AnswerRequest {
  std::vector<int32_t> prompt = {};               // tokens, at least one
  std::shared_ptr<const Adapter> adapter = {};    // null: the base alone
  bool begins_text = false;  // nobody wrote anything before the answer: its first token loses the encoder's space
  GenerateOptions options = {};                   // parse_special has no meaning here
};

// A model with its tokenizer, ready to answer. Immutable, so thread-safe; each call has its own state.
class Generator {
 public:
  // Errors of OpenModel and Tokenizer::FromGguf.
  static absl::StatusOr<std::unique_ptr<const Generator>> Open(const std::string& model_path,
                                                               const EngineOptions& options = {});

  // What Answer asks of a request, but for what only making it shows.
  absl::Status Check(const AnswerRequest& request) const;

  // Continues `prompt`. `on_text` gets each piece as it is known, in whole UTF-8 characters; the pieces together are
  // Generated::text. `adapter` may be null: the base alone. InvalidArgument for options out of range or a prompt that
  // fills the context; Internal if the model gives no numbers.
  absl::StatusOr<Generated> Generate(std::string_view prompt, std::shared_ptr<const Adapter> adapter,
                                     const GenerateOptions& options,
                                     absl::FunctionRef<void(std::string_view)> on_text) const;

  // The same for a prompt that is tokens already, with all that a reader may want. `cache` may be null. InvalidArgument also
  // for a prompt without tokens, or with one out of range; FailedPrecondition if the vocabulary cannot write what options.json
  // asks for. Several at once: AnswerScheduler.
  absl::StatusOr<Generated> Answer(const AnswerRequest& request, AnswerReader& reader,
                                   PromptCache* cache = nullptr) const;

  // The tokens of a text as a prompt: with BOS if the model wants it, never empty but for a model without BOS and EOS.
  std::vector<int32_t> EncodePrompt(std::string_view prompt, bool parse_special) const;

  // A text's place in the space of meanings: the mean of the model's states (Sequence::AppendStates) after each token, of
  // length 1. Errors of Answer for the prompt.
  absl::StatusOr<std::vector<float>> Embed(std::span<const int32_t> tokens,
                                           std::shared_ptr<const Adapter> adapter) const;

  const std::shared_ptr<const Model>& model() const { return model_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  // Of the whole vocabulary; made when they are first asked for.
  const TokenTexts& token_texts() const;

 private:
  Generator(std::shared_ptr<const Model> model, std::unique_ptr<const Tokenizer> tokenizer)
      : model_(std::move(model)), tokenizer_(std::move(tokenizer)) {}

  std::shared_ptr<const Model> model_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  mutable std::once_flag texts_once_;
  mutable std::shared_ptr<const TokenTexts> texts_;
};

}  // namespace fleetune
