#include "inference/runtime/generator.h"

#include <algorithm>
#include <cmath>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/runtime/answer_run.h"
#include "inference/runtime/sampler.h"
#include "inference/runtime/token_texts.h"

namespace fleetune {
namespace {

// Gives an answer's text to a function.
class TextReader final : public AnswerReader {
 public:
  explicit TextReader(absl::FunctionRef<void(std::string_view)> on_text) : on_text_(on_text) {}
  void Read(std::string_view text, std::span<const ChosenToken> /*tokens*/) override {
    if (!text.empty()) on_text_(text);
  }

 private:
  absl::FunctionRef<void(std::string_view)> on_text_;
};

absl::Status CheckPrompt(std::span<const int32_t> prompt, const LlamaShape& shape) {
  if (prompt.empty()) return absl::InvalidArgumentError("the prompt is empty and the model has no BOS token");
  if (prompt.size() >= shape.context) {
    return absl::InvalidArgumentError(
        fmt::format("the prompt has {} tokens; with an answer it must fit the context of {}", prompt.size(),
                    shape.context));
  }
  for (const int32_t token : prompt) {
    if (token < 0 || static_cast<uint32_t>(token) >= shape.vocabulary) {
      return absl::InvalidArgumentError(
          fmt::format("token {} of the prompt is outside of the vocabulary of {}", token, shape.vocabulary));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const GenerateOptions& options) {
  if (options.max_tokens < 1 || options.max_tokens > 32'768) {
    return absl::InvalidArgumentError(
        fmt::format("max_tokens is {}; expected 1 to 32768", options.max_tokens));
  }
  RETURN_IF_ERROR(Validate(SampleOptions{.temperature = options.temperature,
                                         .top_k = options.top_k,
                                         .top_p = options.top_p,
                                         .min_p = options.min_p,
                                         .repetition_penalty = options.repetition_penalty,
                                         .repetition_window = options.repetition_window,
                                         .seed = options.seed}));
  if (options.log_probabilities.value_or(0) > GenerateOptions::kMaxAlternatives) {
    return absl::InvalidArgumentError(fmt::format("log_probabilities is {}; expected 0 to {}",
                                                  *options.log_probabilities, GenerateOptions::kMaxAlternatives));
  }
  if (options.draft_tokens > GenerateOptions::kMaxDraftTokens) {
    return absl::InvalidArgumentError(fmt::format("draft_tokens is {}; expected 0 to {}", options.draft_tokens,
                                                  GenerateOptions::kMaxDraftTokens));
  }
  if (options.time_budget.count() < 0) {
    return absl::InvalidArgumentError(
        fmt::format("time_budget is {} ms; expected 0 or more", options.time_budget.count()));
  }
  for (const std::string& text : options.stop) {
    if (text.empty()) return absl::InvalidArgumentError("stop holds an empty string");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<const Generator>> Generator::Open(const std::string& model_path,
                                                                 const EngineOptions& options) {
  ASSIGN_OR_RETURN(std::shared_ptr<const Model> model, OpenModel(model_path, options));
  ASSIGN_OR_RETURN(std::unique_ptr<const Tokenizer> tokenizer, Tokenizer::FromGguf(model->file()));
  return std::unique_ptr<const Generator>(new Generator(std::move(model), std::move(tokenizer)));
}

absl::StatusOr<Generated> Generator::Generate(std::string_view prompt, std::shared_ptr<const Adapter> adapter,
                                              const GenerateOptions& options,
                                              absl::FunctionRef<void(std::string_view)> on_text) const {
  TextReader reader(on_text);
  return Answer({.prompt = EncodePrompt(prompt, options.parse_special),
                 .adapter = std::move(adapter),
                 .begins_text = prompt.empty(),
                 .options = options},
                reader);
}

absl::Status Generator::Check(const AnswerRequest& request) const {
  RETURN_IF_ERROR(Validate(request.options));
  return CheckPrompt(request.prompt, model_->shape());
}

absl::StatusOr<Generated> Generator::Answer(const AnswerRequest& request, AnswerReader& reader,
                                            PromptCache* cache) const {
  constexpr PassShare kAlone = {.prompt_tokens = GenerateOptions::kPromptPart,
                                .draft_tokens = GenerateOptions::kMaxDraftTokens};
  RETURN_IF_ERROR(Check(request));
  AnswerRun run(*this, request, reader, cache);
  RETURN_IF_ERROR(run.Begin());
  std::vector<float> logits;
  for (AnswerRun::Wish wish = run.Next(kAlone); !wish.tokens.empty(); wish = run.Next(kAlone)) {
    logits.resize(wish.rows * model_->shape().vocabulary);
    RETURN_IF_ERROR(run.sequence().Append(wish.tokens, logits));
    RETURN_IF_ERROR(run.Take(logits));
  }
  return run.Finish();
}

const TokenTexts& Generator::token_texts() const {
  std::call_once(texts_once_, [this] { texts_ = std::make_shared<const TokenTexts>(*tokenizer_); });
  return *texts_;
}

std::vector<int32_t> Generator::EncodePrompt(std::string_view prompt, bool parse_special) const {
  std::vector<int32_t> tokens =
      tokenizer_->Encode(prompt, {.add_bos = tokenizer_->adds_bos(), .parse_special = parse_special});
  // Something must come first: an empty prompt begins a text.
  if (tokens.empty() && tokenizer_->bos()) tokens.push_back(*tokenizer_->bos());
  if (tokens.empty() && tokenizer_->eos()) tokens.push_back(*tokenizer_->eos());
  return tokens;
}

absl::StatusOr<std::vector<float>> Generator::Embed(std::span<const int32_t> tokens,
                                                    std::shared_ptr<const Adapter> adapter) const {
  RETURN_IF_ERROR(CheckPrompt(tokens, model_->shape()));
  ASSIGN_OR_RETURN(const std::unique_ptr<Sequence> sequence,
                   Sequence::Start(model_, std::move(adapter), static_cast<uint32_t>(tokens.size())));
  const size_t width = model_->shape().width;
  std::vector<double> sum(width);
  std::vector<float> states;
  for (size_t begin = 0; begin < tokens.size(); begin += GenerateOptions::kPromptPart) {
    const size_t count = std::min(GenerateOptions::kPromptPart, tokens.size() - begin);
    states.resize(count * width);
    RETURN_IF_ERROR(sequence->AppendStates(tokens.subspan(begin, count), states));
    for (size_t i = 0; i < states.size(); ++i) sum[i % width] += static_cast<double>(states[i]);
  }
  double squares = 0;
  for (const double value : sum) squares += value * value;
  if (!std::isfinite(squares) || squares == 0) return absl::InternalError("the model's states are not finite, or zero");
  std::vector<float> embedding;
  for (const double value : sum) embedding.push_back(static_cast<float>(value / std::sqrt(squares)));
  return embedding;
}

std::string_view StopReasonName(StopReason reason) {
  switch (reason) {
    case StopReason::kEndOfText: return "end_of_text";
    case StopReason::kStopString: return "stop_string";
    case StopReason::kMaxTokens: return "max_tokens";
    case StopReason::kContextFull: return "context_full";
    case StopReason::kTimeBudget: return "time_budget";
    case StopReason::kCancelled: return "cancelled";
  }
  return "";
}

}  // namespace fleetune
