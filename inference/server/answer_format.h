#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "inference/runtime/generator.h"

namespace fleetune {

// From answers to OpenAI's JSON, and to events of a stream (text/event-stream: "data: {...}" and an empty line). Pure.

// What is known of an answer before its first token.
struct AnswerHead {
  std::string id;
  bool is_chat = false;
  int64_t created = 0;       // seconds since 1970
  std::string model;         // as the request named it
  std::string fingerprint;   // version of the adapter and base
  uint64_t seed = 0;         // with fingerprint, request and machine it gives the same answer again
  bool log_probabilities = false;
};

// "stop" or "length", all that the API knows; the reason itself stands under "fleetune": {"stop_reason", "seed"}.
std::string_view FinishReason(StopReason reason);

// The answer as a whole.
std::string FormatAnswer(const AnswerHead& head, const Generated& answer);

// An answer as a stream. Not thread-safe.
class AnswerStream {
 public:
  AnswerStream(AnswerHead head, bool usage) : head_(std::move(head)), usage_(usage) {}

  std::string First() const;  // a chat begins with the role; else nothing
  std::string Piece(std::string_view text, std::span<const ChosenToken> tokens);
  // Why it ended, usage if it was asked for, and "[DONE]".
  std::string Last(const Generated& answer) const;

 private:
  AnswerHead head_;
  bool usage_;
  size_t text_bytes_ = 0;  // of pieces so far
};
std::string FormatErrorEvent(const absl::Status& status);

// An embedding for each input.
std::string FormatEmbeddings(const std::string& model, std::span<const std::vector<float>> embeddings, bool base64,
                             uint64_t prompt_tokens);

// An entry of GET /v1/models.
struct ModelEntry {
  std::string id;
  std::string fingerprint;
};
std::string FormatModel(const ModelEntry& model, int64_t created);
std::string FormatModels(std::span<const ModelEntry> models, int64_t created);

}  // namespace fleetune
