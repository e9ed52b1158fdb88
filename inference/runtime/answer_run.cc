#include "inference/runtime/answer_run.h"

#include <algorithm>

#include "base/status_macros.h"
#include "inference/runtime/log_probabilities.h"

namespace fleetune {

AnswerRun::AnswerRun(const Generator& generator, const AnswerRequest& request, AnswerReader& reader,
                     PromptCache* cache)
    : generator_(generator),
      request_(request),
      prompt_(request.prompt),
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
                .seed = options_.seed},
               generator.model()->compute().set),
      text_(options_.stop),
      lookup_(options_.draft_tokens) {
  result_.prompt_tokens = static_cast<uint32_t>(prompt_.size());
  if (options_.json != nullptr) json_.emplace(options_.json, generator.token_texts());
}

absl::Status AnswerRun::Begin() {
  sampler_.Saw(prompt_);
  lookup_.Saw(prompt_);
  if (cache_ != nullptr) sequence_ = cache_->Find(prompt_, request_.adapter);
  if (sequence_ != nullptr) {
    result_.cached_tokens = sequence_->position();
    read_.assign(prompt_.begin(), prompt_.begin() + sequence_->position());
    return absl::OkStatus();
  }
  // A kept sequence goes on with other prompts, so nothing but the context limits it.
  const uint32_t longest = cache_ != nullptr ? generator_.model()->shape().context : result_.prompt_tokens + room_;
  ASSIGN_OR_RETURN(sequence_, Sequence::Start(generator_.model(), request_.adapter, longest));
  return absl::OkStatus();
}

AnswerRun::Wish AnswerRun::Next(const PassShare& share) {
  if (IsOver()) {
    const auto now = options_.now();
    result_.read_time = prompt_read_.value_or(now) - begin_;
    result_.write_time = now - prompt_read_.value_or(now);
    Give(text_.Finish());
    return {};
  }
  if (const size_t left = prompt_left(); left > 0) {
    const auto part = prompt_.subspan(read_.size(), std::min(left, share.prompt_tokens));
    wish_.assign(part.begin(), part.end());
    return {.tokens = wish_, .rows = part.size() == left ? 1u : 0u};
  }
  // The token and its draft leave room for one more.
  const std::vector<int32_t> draft =
      lookup_.Draft(std::min<size_t>(share.draft_tokens, room_ - result_.answer_tokens - 1));
  wish_ = {last_};
  wish_.insert(wish_.end(), draft.begin(), draft.end());
  return {.tokens = wish_, .rows = wish_.size()};
}

absl::Status AnswerRun::Take(std::span<const float> logits) {
  if (prompt_left() == 0) return TakeAnswer(logits);
  read_.insert(read_.end(), wish_.begin(), wish_.end());
  if (prompt_left() > 0) return absl::OkStatus();
  prompt_read_ = options_.now();
  return Choose(logits);
}

absl::Status AnswerRun::TakeAnswer(std::span<const float> logits) {
  const size_t row = generator_.model()->shape().vocabulary;
  const size_t drafted = wish_.size() - 1;
  size_t accepted = 0;
  read_.push_back(wish_[0]);
  RETURN_IF_ERROR(Choose(logits.first(row)));
  while (accepted < drafted && !over_ && last_ == wish_[accepted + 1] && !IsOver()) {
    ++accepted;
    read_.push_back(last_);
    RETURN_IF_ERROR(Choose(logits.subspan(accepted * row, row)));
  }
  sequence_->KeepOnly(static_cast<uint32_t>(read_.size()));
  if (drafted > 0) lookup_.Learn(drafted, accepted);
  result_.drafted_tokens += static_cast<uint32_t>(drafted);
  result_.accepted_tokens += static_cast<uint32_t>(accepted);
  return absl::OkStatus();
}

bool AnswerRun::IsOver() {
  if (over_) return true;
  if (!reader_.Wanted()) {
    End(StopReason::kCancelled);
  } else if (options_.time_budget.count() > 0 && options_.now() - begin_ >= options_.time_budget) {
    End(StopReason::kTimeBudget);
  }
  return over_.has_value();
}

absl::Status AnswerRun::Choose(std::span<const float> logits) {
  ASSIGN_OR_RETURN(last_, Sample(logits));
  if (generator_.tokenizer().IsEndOfText(last_)) {
    End(StopReason::kEndOfText);
    return absl::OkStatus();
  }
  ++result_.answer_tokens;
  if (options_.log_probabilities) {
    ASSIGN_OR_RETURN(ChosenToken described, Describe(last_, logits));
    result_.tokens.push_back(std::move(described));
  }
  const bool begins = request_.begins_text && result_.answer_tokens == 1;
  ASSIGN_OR_RETURN(const std::string piece, generator_.tokenizer().Decode({&last_, 1}, begins));
  Give(text_.Push(piece));
  if (json_) json_->Accept(last_);
  if (text_.stopped()) {
    End(StopReason::kStopString);
  } else if (json_ && json_->complete()) {
    End(StopReason::kEndOfText);
  } else if (result_.answer_tokens == room_) {
    End(room_ < options_.max_tokens ? StopReason::kContextFull : StopReason::kMaxTokens);
  }
  sampler_.Saw({&last_, 1});
  lookup_.Saw({&last_, 1});
  return absl::OkStatus();
}

absl::StatusOr<int32_t> AnswerRun::Sample(std::span<const float> logits) {
  if (!json_) return sampler_.Sample(logits);
  return sampler_.Sample(logits, [this](int32_t token) { return json_->Allows(token); });
}

absl::StatusOr<ChosenToken> AnswerRun::Describe(int32_t token, std::span<const float> logits) const {
  ChosenToken described;
  bool is_first = true;
  for (const TokenProbability& one : LogProbabilities(logits, token, *options_.log_probabilities, generator_.model()->compute().set)) {
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

Generated AnswerRun::Finish() {
  result_.reason = *over_;
  if (cache_ != nullptr && !read_.empty()) cache_->Keep(*sequence_, std::move(read_), request_.adapter);
  return std::move(result_);
}

}  // namespace fleetune
