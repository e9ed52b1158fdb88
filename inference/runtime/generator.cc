#include "inference/runtime/generator.h"

#include <algorithm>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/runtime/answer_text.h"
#include "inference/runtime/sampler.h"

namespace fleetune {
namespace {

std::vector<int32_t> EncodePrompt(const Tokenizer& tokenizer, std::string_view prompt, bool parse_special) {
  std::vector<int32_t> tokens =
      tokenizer.Encode(prompt, {.add_bos = tokenizer.adds_bos(), .parse_special = parse_special});
  // Something must come first: an empty prompt begins a text.
  if (tokens.empty() && tokenizer.bos()) tokens.push_back(*tokenizer.bos());
  if (tokens.empty() && tokenizer.eos()) tokens.push_back(*tokenizer.eos());
  return tokens;
}

}  // namespace

absl::Status Validate(const GenerateOptions& options) {
  if (options.max_tokens < 1 || options.max_tokens > 32'768) {
    return absl::InvalidArgumentError(
        fmt::format("max_tokens is {}; expected 1 to 32768", options.max_tokens));
  }
  if (!(options.temperature >= 0 && options.temperature <= 10)) {
    return absl::InvalidArgumentError(
        fmt::format("temperature is {}; expected 0 to 10", options.temperature));
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    return absl::InvalidArgumentError(
        fmt::format("top_p is {}; expected above 0 and up to 1", options.top_p));
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
  RETURN_IF_ERROR(Validate(options));
  const std::vector<int32_t> prompt_tokens = EncodePrompt(*tokenizer_, prompt, options.parse_special);
  const LlamaShape& shape = model_->shape();
  if (prompt_tokens.empty())
    return absl::InvalidArgumentError("the prompt is empty and the model has no BOS token");
  if (prompt_tokens.size() >= shape.context) {
    return absl::InvalidArgumentError(
        fmt::format("the prompt has {} tokens; with an answer it must fit the context of {}",
                    prompt_tokens.size(), shape.context));
  }
  const uint32_t prompt_size = static_cast<uint32_t>(prompt_tokens.size());
  const uint32_t room = std::min(options.max_tokens, shape.context - prompt_size);

  ASSIGN_OR_RETURN(const std::unique_ptr<Sequence> sequence,
                   Sequence::Start(model_, std::move(adapter), prompt_size + room));
  std::vector<float> logits(shape.vocabulary);
  RETURN_IF_ERROR(sequence->Append(prompt_tokens, logits));

  Sampler sampler({.temperature = options.temperature,
                   .top_k = options.top_k,
                   .top_p = options.top_p,
                   .seed = options.seed});
  AnswerText answer(options.stop);
  Generated result;
  result.prompt_tokens = prompt_size;
  const auto give = [&](std::string_view text) {
    if (text.empty()) return;
    result.text += text;
    on_text(text);
  };
  while (true) {
    ASSIGN_OR_RETURN(const int32_t token, sampler.Sample(logits));
    if (tokenizer_->IsEndOfText(token)) {
      result.reason = StopReason::kEndOfText;
      break;
    }
    ++result.answer_tokens;
    // Only a text that begins here loses the space that the encoder would add to it.
    const bool begins = prompt.empty() && result.answer_tokens == 1;
    ASSIGN_OR_RETURN(const std::string piece, tokenizer_->Decode({&token, 1}, begins));
    give(answer.Push(piece));
    if (answer.stopped()) {
      result.reason = StopReason::kStopString;
      break;
    }
    if (result.answer_tokens == room) {
      result.reason = room < options.max_tokens ? StopReason::kContextFull : StopReason::kMaxTokens;
      break;
    }
    RETURN_IF_ERROR(sequence->Append({&token, 1}, logits));
  }
  give(answer.Finish());
  return result;
}

std::string_view StopReasonName(StopReason reason) {
  switch (reason) {
    case StopReason::kEndOfText: return "end_of_text";
    case StopReason::kStopString: return "stop_string";
    case StopReason::kMaxTokens: return "max_tokens";
    case StopReason::kContextFull: return "context_full";
  }
  return "";
}

}  // namespace fleetune
