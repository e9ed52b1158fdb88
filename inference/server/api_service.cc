#include "inference/server/api_service.h"

#include <algorithm>

#include "base/check.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/server/api_error.h"
#include "inference/server/chat_prompt.h"

namespace fleetune {
namespace {

std::string NewId(std::string_view kind, RandomSource& random) {
  std::array<uint8_t, 12> bytes;
  random.Fill(bytes);
  return fmt::format("{}-{}", kind, ToHex(bytes));
}

int64_t Seconds(TimePoint time) { return ToMillis(time) / 1000; }

// Writes pieces as they come, if it is a stream.
class WritingReader final : public AnswerReader {
 public:
  WritingReader(BodyWriter& writer, AnswerStream* stream, const std::atomic<bool>& closed)
      : writer_(writer), stream_(stream), closed_(closed) {
    if (stream_ != nullptr) WriteAll(stream_->First());
  }
  void Read(std::string_view text, std::span<const ChosenToken> tokens) override {
    if (stream_ != nullptr) WriteAll(stream_->Piece(text, tokens));
  }
  bool Wanted() override { return !failed_ && !closed_.load() && writer_.IsOpen(); }
  void WriteAll(std::string_view bytes) {
    if (!failed_ && !bytes.empty()) failed_ = !writer_.Write(bytes);
  }
  bool failed() const { return failed_; }

 private:
  BodyWriter& writer_;
  AnswerStream* const stream_;  // null: the body comes as a whole
  const std::atomic<bool>& closed_;
  bool failed_ = false;
};

}  // namespace

absl::Status Validate(const ApiOptions& options) {
  const auto range = [](std::string_view name, uint64_t value, uint64_t least, uint64_t most) {
    if (value >= least && value <= most) return absl::OkStatus();
    return absl::InvalidArgumentError(fmt::format("{} is {}; expected {} to {}", name, value, least, most));
  };
  RETURN_IF_ERROR(range("running", options.running, 1, 64));
  RETURN_IF_ERROR(range("waiting", options.waiting, 0, 1024));
  RETURN_IF_ERROR(range("draft_tokens", options.draft_tokens, 0, GenerateOptions::kMaxDraftTokens));
  RETURN_IF_ERROR(range("max_tokens", options.limits.max_tokens, 1, 32'768));
  // A negative one is larger than any.
  RETURN_IF_ERROR(range("time_budget", static_cast<uint64_t>(options.limits.time_budget.count()), 0,
                        static_cast<uint64_t>(kMaxTimeBudget.count())));
  return range("max_body_bytes", options.limits.max_body_bytes, 1024, 1u << 30);
}

ApiService::ApiService(Parts parts, ApiOptions options)
    : parts_(std::move(parts)),
      options_(std::move(options)),
      started_(Seconds(parts_.clock->Now())),
      chat_family_(RecognizeChatTemplate(parts_.generator->tokenizer().chat_template())),
      admission_(options_.running, options_.waiting),
      cache_(options_.prompt_cache_bytes),
      counter_(options_.limits.time_budget),
      scheduler_(parts_.generator) {
  CHECK(Validate(options_).ok());
  if (parts_.prompts != nullptr) system_prompts_.emplace(parts_.prompts, &cache_, parts_.tell);
}

absl::StatusOr<std::unique_ptr<ApiService::Answering>> ApiService::BeginChat(std::string_view body) {
  ASSIGN_OR_RETURN(CompletionRequest request, ParseChatRequest(body, options_.limits));
  return Begin(std::move(request));
}

absl::StatusOr<std::unique_ptr<ApiService::Answering>> ApiService::BeginCompletion(std::string_view body) {
  ASSIGN_OR_RETURN(CompletionRequest request, ParseCompletionRequest(body, options_.limits));
  return Begin(std::move(request));
}

absl::StatusOr<std::unique_ptr<ApiService::Answering>> ApiService::Begin(CompletionRequest request) {
  ASSIGN_OR_RETURN(Choice choice, Choose(request.model));
  AnswerRequest asked = {.options = request.options};
  ASSIGN_OR_RETURN(asked.prompt, Tokens(request, asked.options.stop));
  const auto* text = std::get_if<std::string>(&request.prompt);
  asked.begins_text = text != nullptr && text->empty();
  std::optional<PromptBeginning> system = SystemOf(request, asked.prompt, choice);
  asked.adapter = std::move(choice.adapter);
  asked.options.draft_tokens = options_.draft_tokens;
  asked.options.seed = request.seed.value_or(parts_.random->NextU64() & kMaxApiSeed);
  RETURN_IF_ERROR(Validate(asked.options));
  RETURN_IF_ERROR(CheckLength(asked.prompt));
  ASSIGN_OR_RETURN(Admission::Turn turn, admission_.Enter());
  std::unique_ptr<Answering> answering(new Answering(this, std::move(turn)));
  answering->head_ = {.id = NewId(request.is_chat() ? "chatcmpl" : "cmpl", *parts_.random),
                      .is_chat = request.is_chat(),
                      .created = Seconds(parts_.clock->Now()),
                      .model = request.model,
                      .fingerprint = std::move(choice.fingerprint),
                      .seed = asked.options.seed,
                      .log_probabilities = asked.options.log_probabilities.has_value()};
  answering->request_ = std::move(request);
  answering->asked_ = std::move(asked);
  answering->system_ = std::move(system);
  return answering;
}

bool ApiService::Answering::Write(BodyWriter& writer) {
  std::optional<AnswerStream> stream;
  if (request_.stream) stream.emplace(head_, request_.stream_usage);
  WritingReader reader(writer, stream ? &*stream : nullptr, service_->closed_);
  const bool is_new = system_ && service_->system_prompts_->Recall(*system_);
  const absl::StatusOr<Generated> answer = service_->scheduler_.Answer(asked_, reader, &service_->cache_);
  if (is_new) service_->system_prompts_->Keep(*system_);
  service_->ForgetIfReplaced(asked_.adapter);
  if (!answer.ok()) {
    reader.WriteAll(stream ? FormatErrorEvent(answer.status()) : FormatError(ToApiError(answer.status())));
    return false;
  }
  if (answer->reason == StopReason::kCancelled && !service_->closed_.load()) return false;
  service_->counter_.Count(*answer);
  service_->Remember(head_, request_, answer->text);
  reader.WriteAll(stream ? stream->Last(*answer) : FormatAnswer(head_, *answer));
  return !reader.failed();
}

absl::StatusOr<std::string> ApiService::Embeddings(std::string_view body) {
  ASSIGN_OR_RETURN(const EmbeddingsRequest request, ParseEmbeddingsRequest(body, options_.limits));
  ASSIGN_OR_RETURN(const Choice choice, Choose(request.model));
  ASSIGN_OR_RETURN(const Admission::Turn turn, admission_.Enter());
  std::vector<std::vector<float>> embeddings;
  uint64_t prompt_tokens = 0;
  for (const std::string& input : request.inputs) {
    if (closed_.load()) return absl::UnavailableError("the server is stopping");
    const std::vector<int32_t> tokens = parts_.generator->EncodePrompt(input, /*parse_special=*/false);
    RETURN_IF_ERROR(CheckLength(tokens));
    ASSIGN_OR_RETURN(std::vector<float> embedding, parts_.generator->Embed(tokens, choice.adapter));
    embeddings.push_back(std::move(embedding));
    prompt_tokens += tokens.size();
  }
  return FormatEmbeddings(request.model, embeddings, request.base64, prompt_tokens);
}

absl::StatusOr<std::string> ApiService::Feedback(std::string_view body) {
  if (parts_.sink == nullptr) return absl::PermissionDeniedError("feedback is not kept here");
  ASSIGN_OR_RETURN(FeedbackRequest request, ParseFeedbackRequest(body, options_.limits));
  AnswerFeedback feedback = {.prompt = std::move(request.prompt),
                             .answer = std::move(request.answer),
                             .correction = std::move(request.correction)};
  if (!request.id.empty()) {
    ASSIGN_OR_RETURN(RememberedAnswers::Answer remembered, remembered_.Find(request.id));
    feedback.prompt = std::move(remembered.prompt);
    feedback.answer = std::move(remembered.answer);
  }
  if (feedback.answer == feedback.correction) return WrongField("correction", "something other than the answer");
  RETURN_IF_ERROR(parts_.sink->Keep(feedback));
  return std::string(R"({"object":"feedback","kept":true})");
}

std::string ApiService::Models() const {
  std::vector<ModelEntry> models = {{.id = kBaseModelName, .fingerprint = FingerprintOf(nullptr)}};
  const std::shared_ptr<const ServedAdapters::List> adapters = adapters_.Current();
  for (const ServedAdapter& one : *adapters) models.push_back({.id = one.name, .fingerprint = FingerprintOf(&one)});
  return FormatModels(models, started_);
}

absl::StatusOr<std::string> ApiService::Model(const std::string& id) const {
  ASSIGN_OR_RETURN(const Choice choice, Choose(id));
  return FormatModel({.id = id, .fingerprint = choice.fingerprint}, started_);
}

absl::Status ApiService::Serve(ServedAdapters::List adapters) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const ServedAdapters::List> before, adapters_.Replace(std::move(adapters)));
  const std::shared_ptr<const ServedAdapters::List> now = adapters_.Current();
  for (const ServedAdapter& old : *before) {
    const auto is_same = [&old](const ServedAdapter& one) { return one.adapter == old.adapter; };
    if (std::none_of(now->begin(), now->end(), is_same)) cache_.Forget(old.adapter);
  }
  return absl::OkStatus();
}

void ApiService::Close() {
  closed_.store(true);
  admission_.Close();
}

absl::StatusOr<ApiService::Choice> ApiService::Choose(const std::string& model) const {
  if (model == kBaseModelName) return Choice{.adapter = nullptr, .adapter_hash = {}, .fingerprint = FingerprintOf(nullptr)};
  const std::shared_ptr<const ServedAdapters::List> adapters = adapters_.Current();
  std::string names = kBaseModelName;
  for (const ServedAdapter& one : *adapters) {
    if (one.name == model) return Choice{.adapter = one.adapter, .adapter_hash = one.hash, .fingerprint = FingerprintOf(&one)};
    names += ", " + one.name;
  }
  return FieldError(absl::StatusCode::kNotFound, "model",
                    fmt::format("no model \"{}\" here; there are {}", model.substr(0, 64), names));
}

std::string ApiService::FingerprintOf(const ServedAdapter* adapter) const {
  constexpr size_t kDigits = 12;
  const std::string base = fmt::format("{}-{}", kBaseModelName, options_.base_hash.substr(0, kDigits));
  if (adapter == nullptr) return base;
  if (!adapter->identity.empty()) return fmt::format("{}/{}", base, adapter->identity);
  return fmt::format("{}/{}@{}-{}", base, adapter->name, adapter->version, adapter->hash.substr(0, kDigits));
}

absl::StatusOr<std::vector<int32_t>> ApiService::Tokens(const CompletionRequest& request,
                                                        std::vector<std::string>& stop) const {
  if (!request.is_chat()) {
    return parts_.generator->EncodePrompt(std::get<std::string>(request.prompt), /*parse_special=*/false);
  }
  RETURN_IF_ERROR(chat_family_.status());
  if (std::string end = EndOfAnswer(*chat_family_); !end.empty()) stop.push_back(std::move(end));
  return ChatTokens(parts_.generator->tokenizer(), *chat_family_, std::get<ApiMessages>(request.prompt));
}

std::optional<PromptBeginning> ApiService::SystemOf(const CompletionRequest& request, const std::vector<int32_t>& tokens,
                                                    const Choice& choice) const {
  if (!system_prompts_ || !request.is_chat()) return std::nullopt;
  const size_t system = SystemTokens(parts_.generator->tokenizer(), *chat_family_,
                                     std::get<ApiMessages>(request.prompt), tokens);
  const auto kept = static_cast<ptrdiff_t>(PromptFiles::Worthwhile(system));
  if (kept == 0) return std::nullopt;
  return PromptBeginning{.tokens = {tokens.begin(), tokens.begin() + kept},
                         .adapter = choice.adapter,
                         .adapter_hash = choice.adapter_hash};
}

absl::Status ApiService::CheckLength(std::span<const int32_t> tokens) const {
  const uint32_t context = parts_.generator->model()->shape().context;
  if (tokens.empty()) return absl::InvalidArgumentError("the prompt is empty, and the model has no token to begin with");
  if (tokens.size() < context) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("the prompt has {} tokens; with an answer it must fit the context of {}", tokens.size(), context));
}

void ApiService::ForgetIfReplaced(const std::shared_ptr<const Adapter>& adapter) {
  if (adapter == nullptr) return;
  const std::shared_ptr<const ServedAdapters::List> now = adapters_.Current();
  const auto is_same = [&adapter](const ServedAdapter& one) { return one.adapter == adapter; };
  if (std::none_of(now->begin(), now->end(), is_same)) cache_.Forget(adapter);
}

void ApiService::Remember(const AnswerHead& head, const CompletionRequest& request, const std::string& answer) {
  if (parts_.sink == nullptr || answer.empty()) return;
  remembered_.Remember({.id = head.id, .prompt = request.prompt, .answer = answer});
}

}  // namespace fleetune
