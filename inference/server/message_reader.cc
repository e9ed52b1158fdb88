#include "inference/server/message_reader.h"

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/server/api_error.h"

namespace fleetune {
namespace {

absl::StatusOr<std::string> ReadContent(const ApiJson* content, const std::string& name) {
  if (content == nullptr) return WrongField(name, "a string or a list of parts");
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) return WrongField(name, "a string or a list of parts");
  std::string text;
  for (size_t i = 0; i < content->size(); ++i) {
    const std::string part_name = fmt::format("{}[{}]", name, i);
    const ApiJson& part = (*content)[i];
    if (!part.is_object()) return WrongField(part_name, "a part of type \"text\"");
    FieldReader reader(part, part_name + ".");
    std::string type, words;
    RETURN_IF_ERROR(reader.Text("type", type));
    if (type != "text") return WrongField(part_name + ".type", "\"text\": this model reads nothing else");
    RETURN_IF_ERROR(reader.Text("text", words));
    RETURN_IF_ERROR(reader.RefuseOthers());
    text += words;
  }
  return text;
}

}  // namespace

absl::StatusOr<ApiMessages> ReadMessages(const ApiJson* json, uint32_t max_messages) {
  if (json == nullptr || !json->is_array() || json->empty() || json->size() > max_messages) {
    return WrongField("messages", fmt::format("a list of 1 to {} messages", max_messages));
  }
  ApiMessages messages;
  for (size_t i = 0; i < json->size(); ++i) {
    const std::string name = fmt::format("messages[{}]", i);
    if (!(*json)[i].is_object()) return WrongField(name, "an object with role and content");
    FieldReader reader((*json)[i], name + ".");
    ApiMessage message;
    RETURN_IF_ERROR(reader.Text("role", message.role));
    if (message.role == "developer") message.role = "system";
    if (message.role != "system" && message.role != "user" && message.role != "assistant") {
      return WrongField(name + ".role", "\"system\", \"developer\", \"user\" or \"assistant\"");
    }
    ASSIGN_OR_RETURN(message.content, ReadContent(reader.Take("content"), name + ".content"));
    reader.Take("name");  // templates have no place for it
    RETURN_IF_ERROR(reader.RefuseOthers());
    messages.push_back(std::move(message));
  }
  return messages;
}

}  // namespace fleetune
