#include "inference/runtime/answer_run.h"

#include <algorithm>

#include "base/status_macros.h"
#include "inference/runtime/log_probabilities.h"

namespace fleetune {

AnswerRun::AnswerRun(const Generator& generator, const AnswerRequest& request, AnswerReader& reader,
                     PromptCache* cache)
    : generator_(generator),
      request_(request),
      options_(request.options),
      reader_(reader),
      cache_(cache),
      begin_(options_.now()),
      room_(std::min(options_.max_tokens,
                     generator.model()->shape().context - static_cast<uint32_t>(request.prompt.size()))),
      sampler_({.temperature = options_.temperature,
                .top_k = options_.top_k,
                .top_p = options_.top_p,
                .min_p = options_.min_p,
                .repetition_penalty = options_.repetition_penalty,
                .repetition_window = options_.repetition_window,
                .seed = options_.seed}),
      text_(options_.stop),
      logits_(generator.model()->shape().vocabulary) {
  result_.prompt_tokens = static_cast<uint32_t>(request.prompt.size());
  if (options_.json != nullptr) json_.emplace(options_.json, generator.tokenizer());
}

absl::StatusOr<Generated> AnswerRun::Run() {
  RETURN_IF_ERROR(Begin());
  RETURN_IF_ERROR(ReadPrompt());
  while (!over_) RETURN_IF_ERROR(Continue());
  Give(text_.Finish());
  result_.reason = *over_;
  KeepSequence();
  return std::move(result_);
}

absl::Status AnswerRun::Begin() {
  if (cache_ != nullptr) sequence_ = cache_->Find(request_.prompt, request_.adapter);
  if (sequence_ != nullptr) {
    result_.cached_tokens = sequence_->position();
    read_.assign(request_.prompt.begin(), request_.prompt.begin() + sequence_->position());
    return absl::OkStatus();
  }
  // A kept sequence goes on with other prompts, so nothing but the context limits it.
  const uint32_t longest = cache_ != nullptr ? generator_.model()->shape().context : result_.prompt_tokens + room_;
  ASSIGN_OR_RETURN(sequence_, Sequence::Start(generator_.model(), request_.adapter, longest));
  return absl::OkStatus();
}

absl::Status AnswerRun::ReadPrompt() {
  sampler_.Saw(request_.prompt);
  const std::span<const int32_t> prompt = request_.prompt;
  while (read_.size() < prompt.size() && !IsOver()) {
    const size_t count = std::min(GenerateOptions::kPromptPart, prompt.size() - read_.size());
    const std::span<const int32_t> part = prompt.subspan(read_.size(), count);
    RETURN_IF_ERROR(sequence_->Append(part, logits_));
    read_.insert(read_.end(), part.begin(), part.end());
  }
  return absl::OkStatus();
}

bool AnswerRun::IsOver() {
  if (!reader_.Wanted()) {
    End(StopReason::kCancelled);
  } else if (options_.time_budget.count() > 0 && options_.now() - begin_ >= options_.time_budget) {
    End(StopReason::kTimeBudget);
  }
  return over_.has_value();
}

absl::Status AnswerRun::Continue() {
  ASSIGN_OR_RETURN(const int32_t token, Choose());
  if (generator_.tokenizer().IsEndOfText(token)) {
    End(StopReason::kEndOfText);
    return absl::OkStatus();
  }
  ++result_.answer_tokens;
  if (options_.log_probabilities) {
    ASSIGN_OR_RETURN(ChosenToken described, Describe(token));
    result_.tokens.push_back(std::move(described));
  }
  const bool begins = request_.begins_text && result_.answer_tokens == 1;
  ASSIGN_OR_RETURN(const std::string piece, generator_.tokenizer().Decode({&token, 1}, begins));
  Give(text_.Push(piece));
  if (json_) json_->Accept(token);
  if (text_.stopped()) {
    End(StopReason::kStopString);
  } else if (json_ && json_->complete()) {
    End(StopReason::kEndOfText);
  } else if (result_.answer_tokens == room_) {
    End(room_ < options_.max_tokens ? StopReason::kContextFull : StopReason::kMaxTokens);
  } else if (!IsOver()) {
    RETURN_IF_ERROR(sequence_->Append({&token, 1}, logits_));
    read_.push_back(token);
    sampler_.Saw({&token, 1});
  }
  return absl::OkStatus();
}

absl::StatusOr<int32_t> AnswerRun::Choose() {
  if (!json_) return sampler_.Sample(logits_);
  return sampler_.Sample(logits_, [this](int32_t token) { return json_->Allows(token); });
}

absl::StatusOr<ChosenToken> AnswerRun::Describe(int32_t token) const {
  ChosenToken described;
  bool is_first = true;
  for (const TokenProbability& one : LogProbabilities(logits_, token, *options_.log_probabilities)) {
    ASSIGN_OR_RETURN(std::string bytes, generator_.tokenizer().Decode({&one.token, 1}, /*strip_leading_space=*/false));
    ChosenToken::Candidate candidate = {.bytes = std::move(bytes), .log_probability = one.log_probability};
    if (is_first) {
      described.chosen = std::move(candidate);
    } else {
      described.likeliest.push_back(std::move(candidate));
    }
    is_first = false;
  }
  return described;
}

void AnswerRun::Give(std::string_view text) {
  const std::span<const ChosenToken> news = std::span(result_.tokens).subspan(told_);
  if (text.empty() && news.empty()) return;
  told_ = result_.tokens.size();
  result_.text += text;
  reader_.Read(text, news);
}

void AnswerRun::KeepSequence() {
  if (cache_ != nullptr && !read_.empty()) cache_->Keep(*sequence_, std::move(read_), request_.adapter);
}

}  // namespace fleetune
