#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

namespace fleetune {

// A training example as people write it. Text is valid UTF-8.
struct PlainText { std::string text; friend bool operator==(const PlainText&, const PlainText&) = default; };
struct PromptCompletion {
  std::string prompt;      // no loss; may be empty
  std::string completion;  // loss
  friend bool operator==(const PromptCompletion&, const PromptCompletion&) = default;
};
struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
  friend bool operator==(const ChatMessage&, const ChatMessage&) = default;
};
struct Chat {
  std::vector<ChatMessage> messages;  // loss on the assistant's, of which there is at least one
  friend bool operator==(const Chat&, const Chat&) = default;
};
// Two answers to one prompt or chat, of which somebody liked one better.
struct Preference {
  std::string prompt;    // may be empty; is, where there are turns
  std::string chosen;    // differs from `rejected`
  std::string rejected;
  std::vector<ChatMessage> turns = {};  // of a chat up to the answer, the last one not the assistant's; empty: a prompt
  friend bool operator==(const Preference&, const Preference&) = default;
};
using Record = std::variant<PlainText, PromptCompletion, Chat, Preference>;

inline constexpr size_t kMaxRecordBytes = 1 << 20;
inline constexpr size_t kMaxRecordsPerFile = 10'000'000;
inline constexpr uint64_t kMaxRecordFileBytes = 1u << 30;  // read as a whole

// One line of JSONL: {"text"}, {"prompt","completion"}, {"messages":[{"role","content"},…]} or
// {"prompt","chosen","rejected"}, in which "messages" may stand for "prompt"; other keys are refused by name. {"question","answer"} counts as prompt and completion.
// InvalidArgument (no JSON, wrong, missing or repeated keys, wrong types, empty, not UTF-8);
// ResourceExhausted over kMaxRecordBytes. Messages hold no part of the example but its keys.
absl::StatusOr<Record> ParseRecord(std::string_view json_line);

// The inverse: one line without its newline. Bytes that are not UTF-8 become U+FFFD.
std::string FormatRecord(const Record& record);

// A whole file's text. JSONL: a record a line, blank lines skipped; errors name the line, from 1. Plain:
// paragraphs separated by blank lines, each a PlainText. Lines may end in CR LF; a byte order mark is skipped.
// InvalidArgument also if there is no record; ResourceExhausted also over kMaxRecordsPerFile.
absl::StatusOr<std::vector<Record>> ParseRecords(std::string_view text);
absl::StatusOr<std::vector<Record>> ParseParagraphs(std::string_view text);

// A file by its name's ending: ".jsonl" or ".txt". Errors begin with the path. NotFound; InvalidArgument for
// another ending; ResourceExhausted over kMaxRecordFileBytes; else as above.
absl::StatusOr<std::vector<Record>> ReadRecords(const std::string& path);

}  // namespace fleetune
