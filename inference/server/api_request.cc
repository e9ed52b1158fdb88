#include "inference/server/api_request.h"

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/server/api_error.h"
#include "inference/server/field_reader.h"
#include "inference/server/message_reader.h"
#include "inference/server/response_format.h"

namespace fleetune {
namespace {

absl::StatusOr<ApiJson> ParseBody(std::string_view body, const ApiLimits& limits) {
  if (body.size() > limits.max_body_bytes) {
    return absl::InvalidArgumentError(fmt::format("the body has over {} bytes", limits.max_body_bytes));
  }
  ApiJson json = ApiJson::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::InvalidArgumentError("the body: expected a JSON object in UTF-8");
  return json;
}

absl::Status ReadModel(FieldReader& reader, std::string& model) {
  RETURN_IF_ERROR(reader.Text("model", model));
  return model.empty() ? WrongField("model", "a name of GET /v1/models") : absl::OkStatus();
}

absl::Status ReadStop(FieldReader& reader, const ApiLimits& limits, std::vector<std::string>& stop) {
  const ApiJson* field = reader.Take("stop");
  if (field == nullptr) return absl::OkStatus();
  const ApiJson list = field->is_array() ? *field : ApiJson::array({*field});
  if (list.size() > limits.max_stop_strings) {
    return WrongField("stop", fmt::format("at most {} strings", limits.max_stop_strings));
  }
  for (const ApiJson& text : list) {
    if (!text.is_string() || text.get_ref<const std::string&>().empty()) {
      return WrongField("stop", "strings that are not empty");
    }
    stop.push_back(text.get<std::string>());
  }
  return absl::OkStatus();
}

absl::Status ReadStream(FieldReader& reader, CompletionRequest& request) {
  RETURN_IF_ERROR(reader.Flag("stream", request.stream));
  const ApiJson* options = reader.Take("stream_options");
  if (options == nullptr) return absl::OkStatus();
  if (!options->is_object() || !request.stream) return WrongField("stream_options", "an object, beside \"stream\": true");
  FieldReader fields(*options, "stream_options.");
  RETURN_IF_ERROR(fields.Flag("include_usage", request.stream_usage));
  RETURN_IF_ERROR(fields.OnlyAs("include_obfuscation", false));
  return fields.RefuseOthers();
}

// Where there is a budget, a request may ask for less, not for more or for none.
absl::Status ReadTimeBudget(FieldReader& reader, const ApiLimits& limits, GenerateOptions& options) {
  const bool limited = limits.time_budget.count() > 0;
  const auto most = static_cast<uint64_t>((limited ? limits.time_budget : kMaxTimeBudget).count());
  std::optional<uint64_t> wanted;
  RETURN_IF_ERROR(reader.Integer("time_budget_ms", limited ? 1 : 0, most, wanted));
  options.time_budget = wanted ? std::chrono::milliseconds(*wanted) : limits.time_budget;
  return absl::OkStatus();
}

// What both kinds of completion have.
absl::Status ReadShared(FieldReader& reader, const ApiLimits& limits, CompletionRequest& request) {
  GenerateOptions& options = request.options;
  RETURN_IF_ERROR(ReadModel(reader, request.model));
  options.temperature = 1;
  RETURN_IF_ERROR(reader.Number("temperature", 0, 10, options.temperature));
  RETURN_IF_ERROR(reader.Number("top_p", 1e-6, 1, options.top_p));
  RETURN_IF_ERROR(reader.Number("min_p", 0, 1, options.min_p));
  RETURN_IF_ERROR(reader.Number("repetition_penalty", 1e-3, 10, options.repetition_penalty));
  std::optional<uint64_t> top_k, max_tokens;
  RETURN_IF_ERROR(reader.Integer("top_k", 0, UINT32_MAX, top_k));
  options.top_k = static_cast<uint32_t>(top_k.value_or(0));
  RETURN_IF_ERROR(ReadTimeBudget(reader, limits, options));
  RETURN_IF_ERROR(reader.Integer("max_tokens", 1, limits.max_tokens, max_tokens));
  options.max_tokens = static_cast<uint32_t>(max_tokens.value_or(limits.max_tokens));
  RETURN_IF_ERROR(reader.Integer("seed", 0, kMaxApiSeed, request.seed));
  RETURN_IF_ERROR(ReadStop(reader, limits, options.stop));
  RETURN_IF_ERROR(ReadStream(reader, request));
  RETURN_IF_ERROR(reader.OnlyAs("n", 1));
  RETURN_IF_ERROR(reader.OnlyAs("frequency_penalty", 0));
  RETURN_IF_ERROR(reader.OnlyAs("presence_penalty", 0));
  RETURN_IF_ERROR(reader.OnlyAs("logit_bias", ApiJson::object()));
  reader.Take("user");  // whom we need not tell from others
  return absl::OkStatus();
}

absl::Status ReadChatLogProbabilities(FieldReader& reader, GenerateOptions& options) {
  bool wanted = false;
  std::optional<uint64_t> alternatives;
  RETURN_IF_ERROR(reader.Flag("logprobs", wanted));
  RETURN_IF_ERROR(reader.Integer("top_logprobs", 0, GenerateOptions::kMaxAlternatives, alternatives));
  if (alternatives && !wanted) return WrongField("top_logprobs", "nothing, unless \"logprobs\" is true");
  if (wanted) options.log_probabilities = static_cast<uint32_t>(alternatives.value_or(0));
  return absl::OkStatus();
}

absl::Status ReadPrompt(FieldReader& reader, std::variant<std::string, ApiMessages>& prompt) {
  const ApiJson* field = reader.Take("prompt");
  if (field == nullptr) return WrongField("prompt", "a string");
  const ApiJson& text = field->is_array() && field->size() == 1 ? (*field)[0] : *field;
  if (!text.is_string()) return WrongField("prompt", "a string, or a list of one");
  prompt = text.get<std::string>();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CompletionRequest> ParseChatRequest(std::string_view body, const ApiLimits& limits) {
  ASSIGN_OR_RETURN(const ApiJson json, ParseBody(body, limits));
  FieldReader reader(json, "");
  CompletionRequest request;
  RETURN_IF_ERROR(ReadShared(reader, limits, request));
  ASSIGN_OR_RETURN(request.prompt, ReadMessages(reader.Take("messages"), limits.max_messages));
  std::optional<uint64_t> max_tokens;
  RETURN_IF_ERROR(reader.Integer("max_completion_tokens", 1, limits.max_tokens, max_tokens));
  if (max_tokens) request.options.max_tokens = static_cast<uint32_t>(*max_tokens);
  RETURN_IF_ERROR(ReadChatLogProbabilities(reader, request.options));
  ASSIGN_OR_RETURN(request.options.json, ReadResponseFormat(reader.Take("response_format")));
  RETURN_IF_ERROR(reader.OnlyAs("tools", ApiJson::array()));
  RETURN_IF_ERROR(reader.OnlyAs("tool_choice", "none"));
  RETURN_IF_ERROR(reader.OnlyAs("store", false));
  RETURN_IF_ERROR(reader.RefuseOthers());
  return request;
}

absl::StatusOr<CompletionRequest> ParseCompletionRequest(std::string_view body, const ApiLimits& limits) {
  ASSIGN_OR_RETURN(const ApiJson json, ParseBody(body, limits));
  FieldReader reader(json, "");
  CompletionRequest request;
  RETURN_IF_ERROR(ReadShared(reader, limits, request));
  RETURN_IF_ERROR(ReadPrompt(reader, request.prompt));
  std::optional<uint64_t> alternatives;
  RETURN_IF_ERROR(reader.Integer("logprobs", 0, GenerateOptions::kMaxAlternatives, alternatives));
  if (alternatives) request.options.log_probabilities = static_cast<uint32_t>(*alternatives);
  RETURN_IF_ERROR(reader.OnlyAs("best_of", 1));
  RETURN_IF_ERROR(reader.OnlyAs("echo", false));
  RETURN_IF_ERROR(reader.OnlyAs("suffix", ""));
  RETURN_IF_ERROR(reader.RefuseOthers());
  return request;
}

absl::StatusOr<EmbeddingsRequest> ParseEmbeddingsRequest(std::string_view body, const ApiLimits& limits) {
  ASSIGN_OR_RETURN(const ApiJson json, ParseBody(body, limits));
  FieldReader reader(json, "");
  EmbeddingsRequest request;
  RETURN_IF_ERROR(ReadModel(reader, request.model));
  const ApiJson* input = reader.Take("input");
  if (input == nullptr) return WrongField("input", "a string or a list of strings");
  const ApiJson list = input->is_array() ? *input : ApiJson::array({*input});
  if (list.empty() || list.size() > limits.max_inputs) {
    return WrongField("input", fmt::format("1 to {} strings", limits.max_inputs));
  }
  for (const ApiJson& text : list) {
    if (!text.is_string()) return WrongField("input", "a string or a list of strings");
    request.inputs.push_back(text.get<std::string>());
  }
  std::string format = "float";
  RETURN_IF_ERROR(reader.Text("encoding_format", format));
  if (format != "float" && format != "base64") return WrongField("encoding_format", "\"float\" or \"base64\"");
  request.base64 = format == "base64";
  reader.Take("user");
  RETURN_IF_ERROR(reader.RefuseOthers());
  return request;
}

absl::StatusOr<FeedbackRequest> ParseFeedbackRequest(std::string_view body, const ApiLimits& limits) {
  ASSIGN_OR_RETURN(const ApiJson json, ParseBody(body, limits));
  FieldReader reader(json, "");
  FeedbackRequest request;
  RETURN_IF_ERROR(reader.Text("id", request.id));
  const ApiJson* messages = reader.Take("messages");
  if (request.id.empty() && messages != nullptr) {
    ASSIGN_OR_RETURN(request.prompt, ReadMessages(messages, limits.max_messages));
    if (json.contains("prompt")) return WrongField("prompt", "nothing beside \"messages\"");
  } else if (request.id.empty()) {
    RETURN_IF_ERROR(ReadPrompt(reader, request.prompt));
  } else if (messages != nullptr || json.contains("prompt") || json.contains("answer")) {
    return WrongField("id", "nothing beside \"prompt\", \"messages\" or \"answer\", which it stands for");
  }
  reader.Take("prompt");
  RETURN_IF_ERROR(reader.Text("answer", request.answer));
  if (request.id.empty() && request.answer.empty()) return WrongField("answer", "what was answered");
  std::string verdict;
  RETURN_IF_ERROR(reader.Text("verdict", verdict));
  if (verdict != "good" && verdict != "bad") return WrongField("verdict", "\"good\" or \"bad\"");
  request.good = verdict == "good";
  RETURN_IF_ERROR(reader.Text("correction", request.correction));
  if (request.good && !request.correction.empty()) return WrongField("correction", "nothing for a good answer");
  if (!request.good && request.correction.empty()) {
    return WrongField("correction", "what a bad answer should have been: that it was bad alone teaches nothing");
  }
  RETURN_IF_ERROR(reader.RefuseOthers());
  return request;
}

}  // namespace fleetune
