#include "inference/server/answer_format.h"

#include <cstring>

#include "absl/strings/escaping.h"
#include "fmt/format.h"
#include "inference/server/api_error.h"
#include "inference/server/field_reader.h"

namespace fleetune {
namespace {

// Bytes of a token that are a part of a character become U+FFFD; "bytes" beside them are exact.
std::string Written(const ApiJson& json) { return json.dump(-1, ' ', false, ApiJson::error_handler_t::replace); }

std::string Event(const ApiJson& json) { return fmt::format("data: {}\n\n", Written(json)); }

ApiJson UsageOf(const Generated& answer) {
  return {{"prompt_tokens", answer.prompt_tokens},
          {"completion_tokens", answer.answer_tokens},
          {"total_tokens", answer.prompt_tokens + answer.answer_tokens},
          {"prompt_tokens_details", {{"cached_tokens", answer.cached_tokens}}},
          {"completion_tokens_details",
           {{"accepted_prediction_tokens", answer.accepted_tokens},
            {"rejected_prediction_tokens", answer.drafted_tokens - answer.accepted_tokens}}}};
}

ApiJson HeadOf(const AnswerHead& head, std::string_view chat_object) {
  return {{"id", head.id},
          {"object", head.is_chat ? std::string(chat_object) : "text_completion"},
          {"created", head.created},
          {"model", head.model},
          {"system_fingerprint", head.fingerprint}};
}

ApiJson CandidateOf(const ChosenToken::Candidate& candidate) {
  ApiJson bytes = ApiJson::array();
  for (const char byte : candidate.bytes) bytes.push_back(static_cast<uint8_t>(byte));
  return {{"token", candidate.bytes}, {"logprob", candidate.log_probability}, {"bytes", std::move(bytes)}};
}

ApiJson ChatLogProbabilities(std::span<const ChosenToken> tokens) {
  ApiJson content = ApiJson::array();
  for (const ChosenToken& token : tokens) {
    ApiJson entry = CandidateOf(token.chosen);
    entry["top_logprobs"] = ApiJson::array();
    for (const ChosenToken::Candidate& one : token.likeliest) entry["top_logprobs"].push_back(CandidateOf(one));
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

ApiJson TextLogProbabilities(std::span<const ChosenToken> tokens, size_t offset) {
  ApiJson texts = ApiJson::array(), own = ApiJson::array(), likeliest = ApiJson::array(), offsets = ApiJson::array();
  for (const ChosenToken& token : tokens) {
    texts.push_back(token.chosen.bytes);
    own.push_back(token.chosen.log_probability);
    ApiJson others = ApiJson::object();
    for (const ChosenToken::Candidate& one : token.likeliest) others[one.bytes] = one.log_probability;
    likeliest.push_back(std::move(others));
    offsets.push_back(offset);
    offset += token.chosen.bytes.size();
  }
  return {{"tokens", std::move(texts)},
          {"token_logprobs", std::move(own)},
          {"top_logprobs", std::move(likeliest)},
          {"text_offset", std::move(offsets)}};
}

ApiJson LogProbabilitiesOf(const AnswerHead& head, std::span<const ChosenToken> tokens, size_t offset) {
  if (!head.log_probabilities) return nullptr;
  return head.is_chat ? ChatLogProbabilities(tokens) : TextLogProbabilities(tokens, offset);
}

ApiJson ModelJson(const ModelEntry& model, int64_t created) {
  return {{"id", model.id},
          {"object", "model"},
          {"created", created},
          {"owned_by", "fleetune"},
          {"system_fingerprint", model.fingerprint}};
}

ApiJson Extension(const AnswerHead& head, StopReason reason) {
  return {{"seed", head.seed}, {"stop_reason", StopReasonName(reason)}};
}

}  // namespace

std::string_view FinishReason(StopReason reason) {
  return reason == StopReason::kEndOfText || reason == StopReason::kStopString ? "stop" : "length";
}

std::string FormatAnswer(const AnswerHead& head, const Generated& answer) {
  ApiJson choice = {{"index", 0}};
  if (head.is_chat) {
    choice["message"] = {{"role", "assistant"}, {"content", answer.text}, {"refusal", nullptr}};
  } else {
    choice["text"] = answer.text;
  }
  choice["logprobs"] = LogProbabilitiesOf(head, answer.tokens, 0);
  choice["finish_reason"] = FinishReason(answer.reason);
  ApiJson json = HeadOf(head, "chat.completion");
  json["choices"] = ApiJson::array({std::move(choice)});
  json["usage"] = UsageOf(answer);
  json["fleetune"] = Extension(head, answer.reason);
  return Written(json);
}

std::string AnswerStream::First() const {
  if (!head_.is_chat) return "";
  ApiJson json = HeadOf(head_, "chat.completion.chunk");
  json["choices"] = ApiJson::array({{{"index", 0},
                                     {"delta", {{"role", "assistant"}, {"content", ""}}},
                                     {"logprobs", nullptr},
                                     {"finish_reason", nullptr}}});
  return Event(json);
}

std::string AnswerStream::Piece(std::string_view text, std::span<const ChosenToken> tokens) {
  ApiJson choice = {{"index", 0}};
  if (head_.is_chat) {
    choice["delta"] = {{"content", text}};
  } else {
    choice["text"] = text;
  }
  choice["logprobs"] = LogProbabilitiesOf(head_, tokens, text_bytes_);
  choice["finish_reason"] = nullptr;
  text_bytes_ += text.size();
  ApiJson json = HeadOf(head_, "chat.completion.chunk");
  json["choices"] = ApiJson::array({std::move(choice)});
  return Event(json);
}

std::string AnswerStream::Last(const Generated& answer) const {
  ApiJson choice = {{"index", 0}};
  if (head_.is_chat) {
    choice["delta"] = ApiJson::object();
  } else {
    choice["text"] = "";
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = FinishReason(answer.reason);
  ApiJson json = HeadOf(head_, "chat.completion.chunk");
  json["choices"] = ApiJson::array({std::move(choice)});
  json["fleetune"] = Extension(head_, answer.reason);
  std::string events = Event(json);
  if (usage_) {
    ApiJson usage = HeadOf(head_, "chat.completion.chunk");
    usage["choices"] = ApiJson::array();
    usage["usage"] = UsageOf(answer);
    events += Event(usage);
  }
  return events + "data: [DONE]\n\n";
}

std::string FormatErrorEvent(const absl::Status& status) {
  return fmt::format("data: {}\n\n", FormatError(ToApiError(status)));
}

std::string FormatEmbeddings(const std::string& model, std::span<const std::vector<float>> embeddings, bool base64,
                             uint64_t prompt_tokens) {
  ApiJson data = ApiJson::array();
  for (size_t i = 0; i < embeddings.size(); ++i) {
    ApiJson entry = {{"object", "embedding"}, {"index", i}};
    if (base64) {
      std::string bytes(embeddings[i].size() * sizeof(float), '\0');
      std::memcpy(bytes.data(), embeddings[i].data(), bytes.size());  // all our machines are little-endian
      entry["embedding"] = absl::Base64Escape(bytes);
    } else {
      entry["embedding"] = embeddings[i];
    }
    data.push_back(std::move(entry));
  }
  return Written({{"object", "list"},
                  {"data", std::move(data)},
                  {"model", model},
                  {"usage", {{"prompt_tokens", prompt_tokens}, {"total_tokens", prompt_tokens}}}});
}

std::string FormatModel(const ModelEntry& model, int64_t created) { return Written(ModelJson(model, created)); }

std::string FormatModels(std::span<const ModelEntry> models, int64_t created) {
  ApiJson data = ApiJson::array();
  for (const ModelEntry& model : models) data.push_back(ModelJson(model, created));
  return Written({{"object", "list"}, {"data", std::move(data)}});
}

}  // namespace fleetune
