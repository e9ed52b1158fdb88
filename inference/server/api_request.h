#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/runtime/generator.h"

namespace fleetune {

// What a request may ask for at most.
struct ApiLimits {
  size_t max_body_bytes = 4u << 20;
  uint32_t max_tokens = 4096;    // of an answer, and the default, 1 .. 32,768
  std::chrono::milliseconds time_budget{0};  // likewise, up to kMaxTimeBudget; 0: a request may ask for any, or none
  uint32_t max_messages = 1024;
  uint32_t max_inputs = 256;     // of one request for embeddings
  uint32_t max_stop_strings = 16;
};

inline constexpr std::chrono::milliseconds kMaxTimeBudget = std::chrono::hours(1);

// A seed is a number that JavaScript can hold.
inline constexpr uint64_t kMaxApiSeed = (uint64_t{1} << 53) - 1;

struct ApiMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
  friend bool operator==(const ApiMessage&, const ApiMessage&) = default;
};
using ApiMessages = std::vector<ApiMessage>;

// POST /v1/chat/completions or /v1/completions, valid in itself.
struct CompletionRequest {
  std::string model;
  std::variant<std::string, ApiMessages> prompt;  // messages: at least one, a chat
  GenerateOptions options;                        // but for the seed
  std::optional<uint64_t> seed;                   // none: the server draws one; at most kMaxApiSeed
  bool stream = false;
  bool stream_usage = false;

  bool is_chat() const { return std::holds_alternative<ApiMessages>(prompt); }
};

// POST /v1/embeddings
struct EmbeddingsRequest {
  std::string model;
  std::vector<std::string> inputs;  // at least one
  bool base64 = false;              // little-endian f32 in base64 instead of a list of numbers
};

// POST /v1/feedback
struct FeedbackRequest {
  std::string id;                                 // of an answer of this server; else prompt and answer
  std::variant<std::string, ApiMessages> prompt;  // empty if there is an id
  std::string answer;
  bool good = false;
  std::string correction;                         // not empty unless good: what the answer should have been
};

// From bodies to requests: pure. InvalidArgument, with the field's name for ToApiError, for what is no JSON object in UTF-8, a
// field that is unknown, missing, malformed, over a limit, or asks for what there is not ("tools"). Fields that ask for
// nothing ("n": 1) are taken. Not OpenAI's, but ours: top_k, min_p, repetition_penalty, time_budget_ms.
absl::StatusOr<CompletionRequest> ParseChatRequest(std::string_view body, const ApiLimits& limits);
absl::StatusOr<CompletionRequest> ParseCompletionRequest(std::string_view body, const ApiLimits& limits);
absl::StatusOr<EmbeddingsRequest> ParseEmbeddingsRequest(std::string_view body, const ApiLimits& limits);
absl::StatusOr<FeedbackRequest> ParseFeedbackRequest(std::string_view body, const ApiLimits& limits);

}  // namespace fleetune
