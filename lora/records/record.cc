#include "lora/records/record.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace fleetune {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxQuotedKeyBytes = 40;

struct ParsedJson {
  Json value;
  size_t num_keys = 0;  // as written: more than the value has if one is repeated
};

absl::StatusOr<ParsedJson> ParseJson(std::string_view line) {
  ParsedJson parsed;
  const auto count_keys = [&parsed](int /*depth*/, Json::parse_event_t event, Json& /*value*/) {
    if (event == Json::parse_event_t::key) ++parsed.num_keys;
    return true;
  };
  try {
    parsed.value = Json::parse(line, count_keys);
  } catch (const Json::parse_error& error) {
    // Its own message quotes the text, which may be private.
    return absl::InvalidArgumentError(fmt::format("expected one JSON object in UTF-8, wrong at byte {}", error.byte));
  } catch (const Json::exception&) {
    return absl::InvalidArgumentError("expected one JSON object, got a number out of range");
  }
  if (!parsed.value.is_object()) {
    return absl::InvalidArgumentError(fmt::format("expected a JSON object, got {}", parsed.value.type_name()));
  }
  return parsed;
}

absl::StatusOr<std::string> TakeString(Json& object, const char* key, bool may_be_empty) {
  const auto found = object.find(key);
  if (found == object.end()) return absl::InvalidArgumentError(fmt::format("\"{}\" is missing", key));
  if (!found->is_string()) {
    return absl::InvalidArgumentError(fmt::format("\"{}\": expected a string, got {}", key, found->type_name()));
  }
  std::string& text = found->get_ref<std::string&>();
  if (text.empty() && !may_be_empty) return absl::InvalidArgumentError(fmt::format("\"{}\" is empty", key));
  return std::move(text);
}

absl::Status ExpectOnlyKeys(const Json& object, std::initializer_list<std::string_view> known) {
  for (const auto& member : object.items()) {
    if (std::find(known.begin(), known.end(), member.key()) == known.end()) {
      return absl::InvalidArgumentError(
          fmt::format("unknown key \"{}\"", member.key().substr(0, kMaxQuotedKeyBytes)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Record> ReadPromptCompletion(Json& object, const char* prompt_key, const char* completion_key) {
  RETURN_IF_ERROR(ExpectOnlyKeys(object, {prompt_key, completion_key}));
  PromptCompletion record;
  ASSIGN_OR_RETURN(record.prompt, TakeString(object, prompt_key, /*may_be_empty=*/true));
  ASSIGN_OR_RETURN(record.completion, TakeString(object, completion_key, /*may_be_empty=*/false));
  return record;
}

absl::StatusOr<ChatMessage> ReadMessage(Json& object) {
  constexpr std::array<std::string_view, 3> kRoles = {"system", "user", "assistant"};
  if (!object.is_object()) {
    return absl::InvalidArgumentError(fmt::format("expected an object, got {}", object.type_name()));
  }
  RETURN_IF_ERROR(ExpectOnlyKeys(object, {"role", "content"}));
  ChatMessage message;
  ASSIGN_OR_RETURN(message.role, TakeString(object, "role", /*may_be_empty=*/false));
  ASSIGN_OR_RETURN(message.content, TakeString(object, "content", /*may_be_empty=*/false));
  if (std::find(kRoles.begin(), kRoles.end(), message.role) == kRoles.end()) {
    return absl::InvalidArgumentError(fmt::format("\"role\": expected system, user or assistant, got \"{}\"",
                                                  message.role.substr(0, kMaxQuotedKeyBytes)));
  }
  return message;
}

absl::StatusOr<std::vector<ChatMessage>> ReadMessages(Json& object) {
  Json& messages = object["messages"];
  if (!messages.is_array()) {
    return absl::InvalidArgumentError(fmt::format("\"messages\": expected an array, got {}", messages.type_name()));
  }
  std::vector<ChatMessage> read;
  for (Json& element : messages) {
    absl::StatusOr<ChatMessage> message = ReadMessage(element);
    if (!message.ok()) {
      return absl::InvalidArgumentError(
          fmt::format("\"messages\"[{}]: {}", read.size(), std::string(message.status().message())));
    }
    read.push_back(*std::move(message));
  }
  return read;
}

absl::StatusOr<Record> ReadChat(Json& object) {
  RETURN_IF_ERROR(ExpectOnlyKeys(object, {"messages"}));
  Chat chat;
  ASSIGN_OR_RETURN(chat.messages, ReadMessages(object));
  const bool has_answer = std::any_of(chat.messages.begin(), chat.messages.end(),
                                      [](const ChatMessage& message) { return message.role == "assistant"; });
  if (!has_answer) return absl::InvalidArgumentError("\"messages\": expected one of the assistant, got none");
  return chat;
}

absl::StatusOr<Record> ReadPreference(Json& object) {
  const bool is_chat = object.contains("messages");
  RETURN_IF_ERROR(ExpectOnlyKeys(object, {is_chat ? "messages" : "prompt", "chosen", "rejected"}));
  Preference record;
  if (is_chat) {
    ASSIGN_OR_RETURN(record.turns, ReadMessages(object));
    if (record.turns.empty() || record.turns.back().role == "assistant") {
      return absl::InvalidArgumentError("\"messages\": expected the turns before an answer of the assistant");
    }
  } else {
    ASSIGN_OR_RETURN(record.prompt, TakeString(object, "prompt", /*may_be_empty=*/true));
  }
  ASSIGN_OR_RETURN(record.chosen, TakeString(object, "chosen", /*may_be_empty=*/false));
  ASSIGN_OR_RETURN(record.rejected, TakeString(object, "rejected", /*may_be_empty=*/false));
  if (record.chosen == record.rejected) {
    return absl::InvalidArgumentError("\"chosen\" and \"rejected\": expected two different answers");
  }
  return record;
}

absl::StatusOr<Record> ReadObject(Json& object) {
  if (object.contains("text")) {
    RETURN_IF_ERROR(ExpectOnlyKeys(object, {"text"}));
    ASSIGN_OR_RETURN(std::string text, TakeString(object, "text", /*may_be_empty=*/false));
    return PlainText{std::move(text)};
  }
  if (object.contains("chosen") || object.contains("rejected")) return ReadPreference(object);
  if (object.contains("messages")) return ReadChat(object);
  if (object.contains("question")) return ReadPromptCompletion(object, "question", "answer");
  if (object.contains("prompt")) return ReadPromptCompletion(object, "prompt", "completion");
  RETURN_IF_ERROR(ExpectOnlyKeys(object, {"completion", "answer"}));
  return absl::InvalidArgumentError(
      "expected {\"text\"}, {\"prompt\", \"completion\"}, {\"messages\"} or {\"prompt\", \"chosen\", \"rejected\"}; got "
      "no such key");
}

size_t CountKeys(const Json& object) {
  size_t count = object.size();
  if (const auto messages = object.find("messages"); messages != object.end() && messages->is_array()) {
    for (const Json& message : *messages) count += message.is_object() ? message.size() : 0;
  }
  return count;
}

Json ToJson(const PlainText& record) { return {{"text", record.text}}; }
Json ToJson(const PromptCompletion& record) {
  return {{"prompt", record.prompt}, {"completion", record.completion}};
}
Json ToJson(const std::vector<ChatMessage>& messages) {
  Json json = Json::array();
  for (const ChatMessage& message : messages) {
    json.push_back(Json{{"role", message.role}, {"content", message.content}});
  }
  return json;
}
Json ToJson(const Chat& record) { return {{"messages", ToJson(record.messages)}}; }
Json ToJson(const Preference& record) {
  Json json;
  if (record.turns.empty()) {
    json["prompt"] = record.prompt;
  } else {
    json["messages"] = ToJson(record.turns);
  }
  json["chosen"] = record.chosen;
  json["rejected"] = record.rejected;
  return json;
}

}  // namespace

absl::StatusOr<Record> ParseRecord(std::string_view json_line) {
  if (json_line.size() > kMaxRecordBytes) {
    return absl::ResourceExhaustedError(
        fmt::format("a record of {} bytes, at most {} are allowed", json_line.size(), kMaxRecordBytes));
  }
  ASSIGN_OR_RETURN(ParsedJson parsed, ParseJson(json_line));
  const size_t num_different_keys = CountKeys(parsed.value);
  ASSIGN_OR_RETURN(Record record, ReadObject(parsed.value));
  // What was read has no further objects, so each key that was written is one of these.
  if (parsed.num_keys != num_different_keys) return absl::InvalidArgumentError("a key is repeated");
  return record;
}

std::string FormatRecord(const Record& record) {
  const Json json = std::visit([](const auto& kind) { return ToJson(kind); }, record);
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

}  // namespace fleetune
