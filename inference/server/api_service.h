#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/random.h"
#include "inference/prompts/prompt_files.h"
#include "inference/runtime/answer_scheduler.h"
#include "inference/runtime/generator.h"
#include "inference/runtime/prompt_cache.h"
#include "inference/server/admission.h"
#include "inference/server/answer_figures.h"
#include "inference/server/answer_format.h"
#include "inference/server/api_request.h"
#include "inference/server/feedback_sink.h"
#include "inference/server/remembered_answers.h"
#include "inference/server/served_adapters.h"
#include "inference/server/system_prompts.h"
#include "inference/tokenizer/chat_template.h"

namespace fleetune {

struct ApiOptions {
  ApiLimits limits = {};
  uint32_t running = 4;     // requests answered at a time, in one pass, 1 .. 64; each has keys and values of its own
  uint32_t waiting = 16;    // that may wait for it; more are refused with 429, 0 .. 1024
  uint64_t prompt_cache_bytes = 256u << 20;
  uint32_t draft_tokens = GenerateOptions{}.draft_tokens;
  std::string base_hash = {};  // hexadecimal digits that tell the base model from others
};
// InvalidArgument naming the first field out of its range.
absl::Status Validate(const ApiOptions& options);

// Where an answer's bytes go.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;
  // False once nobody reads any more.
  virtual bool Write(std::string_view bytes) = 0;
  virtual bool IsOpen() = 0;
};

// What the API does, without HTTP: from bodies to bodies. Thread-safe; each call takes as long as its answer, on the calling
// thread.
class ApiService {
 public:
  // All borrowed, but for the generator. `sink` may be null: feedback is refused, and no answer remembered. `prompts` too: no
  // system prompt outlives the service; they are of the generator's model. What is called is thread-safe.
  struct Parts {
    std::shared_ptr<const Generator> generator;
    RandomSource* random = nullptr;  // of seeds and ids
    const Clock* clock = nullptr;
    FeedbackSink* sink = nullptr;
    PromptFiles* prompts = nullptr;
    SystemPrompts::Tell tell = {};  // of prompts that are left out; set if there are files
  };
  // Requires valid options; checked.
  ApiService(Parts parts, ApiOptions options);

  // An answer whose turn has come, not begun yet. Must not outlive the service.
  class Answering {
   public:
    bool stream() const { return request_.stream; }
    // Writes the whole body; ends early if the writer closes. True if all of it was written. Used once.
    bool Write(BodyWriter& writer);

   private:
    friend class ApiService;
    Answering(ApiService* service, Admission::Turn turn) : service_(service), turn_(std::move(turn)) {}

    ApiService* service_;
    Admission::Turn turn_;
    CompletionRequest request_;
    AnswerRequest asked_;
    std::optional<PromptBeginning> system_;  // if it is worth a file
    AnswerHead head_;
  };

  // POST /v1/chat/completions, /v1/completions. Waits for a turn: ResourceExhausted if too many wait. Errors of
  // ParseChatRequest; NotFound for a model that is not served; InvalidArgument for a prompt that fills the context.
  absl::StatusOr<std::unique_ptr<Answering>> BeginChat(std::string_view body);
  absl::StatusOr<std::unique_ptr<Answering>> BeginCompletion(std::string_view body);
  // POST /v1/embeddings; the same errors.
  absl::StatusOr<std::string> Embeddings(std::string_view body);
  // POST /v1/feedback. PermissionDenied without a sink; errors of ParseFeedbackRequest, RememberedAnswers::Find and the sink.
  absl::StatusOr<std::string> Feedback(std::string_view body);
  // GET /v1/models, /v1/models/ID.
  std::string Models() const;
  absl::StatusOr<std::string> Model(const std::string& id) const;

  // What requests can ask for from now on; errors of ServedAdapters::Replace.
  absl::Status Serve(ServedAdapters::List adapters);

  // Ends answers as they are, and lets nobody in any more.
  void Close();

  const ApiOptions& options() const { return options_; }
  // Of answers, embeddings aside, since the service was made. Inside its budget is what took less than limits.time_budget.
  AnswerFigures figures() const { return counter_.figures(); }

 private:
  struct Choice {
    std::shared_ptr<const Adapter> adapter;
    std::string adapter_hash;
    std::string fingerprint;
  };
  absl::StatusOr<Choice> Choose(const std::string& model) const;
  std::string FingerprintOf(const ServedAdapter* adapter) const;
  absl::StatusOr<std::unique_ptr<Answering>> Begin(CompletionRequest request);
  // The prompt's tokens; adds to `stop` what ends an assistant's turn.
  absl::StatusOr<std::vector<int32_t>> Tokens(const CompletionRequest& request, std::vector<std::string>& stop) const;
  // None: no file, or not worth one.
  std::optional<PromptBeginning> SystemOf(const CompletionRequest& request, const std::vector<int32_t>& tokens,
                                          const Choice& choice) const;
  absl::Status CheckLength(std::span<const int32_t> tokens) const;
  // An answer keeps its prompt, also that of an adapter which was replaced or dropped meanwhile and serves nobody any more.
  void ForgetIfReplaced(const std::shared_ptr<const Adapter>& adapter);
  void Remember(const AnswerHead& head, const CompletionRequest& request, const std::string& answer);

  const Parts parts_;
  const ApiOptions options_;
  const int64_t started_;  // seconds since 1970
  const absl::StatusOr<ChatFamily> chat_family_;
  ServedAdapters adapters_;
  Admission admission_;
  PromptCache cache_;
  std::optional<SystemPrompts> system_prompts_;  // over cache_
  RememberedAnswers remembered_;
  AnswerCounter counter_;
  std::atomic<bool> closed_{false};
  AnswerScheduler scheduler_;
};

}  // namespace fleetune
