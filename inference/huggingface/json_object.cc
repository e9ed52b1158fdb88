#include "inference/huggingface/json_object.h"

#include <utility>

#include "base/status_macros.h"
#include "base/utf8.h"
#include "fmt/format.h"

namespace fleetune {

using nlohmann::json;

std::string Shown(const json& value) {
  constexpr size_t kMaxCharacters = 80;
  // In ASCII, so that a message stays one readable line whatever the file holds.
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
  if (text.size() > kMaxCharacters) text = text.substr(0, kMaxCharacters) + "...";
  return text;
}

absl::StatusOr<JsonObject> JsonObject::Parse(std::string_view text, std::string file) {
  bool too_deep = false;
  const auto watch = [&too_deep](int depth, json::parse_event_t /*event*/, json& /*value*/) {
    too_deep |= depth > kMaxJsonDepth;
    return !too_deep;
  };
  json object = json::parse(text, watch, /*allow_exceptions=*/false);
  if (too_deep) {
    return absl::InvalidArgumentError(fmt::format("{}: nested deeper than {}", file, kMaxJsonDepth));
  }
  if (!object.is_object()) {
    return absl::InvalidArgumentError(fmt::format("{}: expected a JSON object", file));
  }
  return JsonObject(std::make_shared<const json>(std::move(object)), std::move(file), "");
}

const json* JsonObject::Find(std::string_view key) const {
  const auto at = object_->find(key);
  return at == object_->end() || at->is_null() ? nullptr : &*at;
}

absl::StatusOr<JsonObject> JsonObject::Object(std::string_view key) const {
  const json* value = Find(key);
  if (value != nullptr && !value->is_object()) return Unexpected(key, "an object");
  std::shared_ptr<const json> object =
      value == nullptr ? std::make_shared<const json>(json::object()) : std::shared_ptr<const json>(object_, value);
  return JsonObject(std::move(object), file_, fmt::format("{}{}.", prefix_, key));
}

absl::StatusOr<uint32_t> JsonObject::Count(std::string_view key, uint32_t max) const {
  const json* value = Find(key);
  if (value == nullptr || !value->is_number_unsigned() || *value < 1u || *value > max) {
    return Unexpected(key, fmt::format("1 to {}", max));
  }
  return value->get<uint32_t>();
}

absl::StatusOr<uint32_t> JsonObject::CountOr(std::string_view key, uint32_t max, uint32_t otherwise) const {
  if (Find(key) == nullptr) return otherwise;
  return Count(key, max);
}

absl::StatusOr<double> JsonObject::NumberOr(std::string_view key, double otherwise) const {
  const json* value = Find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_number()) return Unexpected(key, "a number");
  return value->get<double>();
}

absl::StatusOr<std::optional<bool>> JsonObject::OptionalFlag(std::string_view key) const {
  const json* value = Find(key);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_boolean()) return Unexpected(key, "true or false");
  return std::optional<bool>(value->get<bool>());
}

absl::StatusOr<bool> JsonObject::FlagOr(std::string_view key, bool otherwise) const {
  ASSIGN_OR_RETURN(const std::optional<bool> value, OptionalFlag(key));
  return value.value_or(otherwise);
}

absl::StatusOr<std::optional<std::string>> JsonObject::OptionalText(std::string_view key) const {
  const json* value = Find(key);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return Unexpected(key, "a text");
  return std::optional<std::string>(value->get<std::string>());
}

absl::StatusOr<std::string> JsonObject::TextOr(std::string_view key, std::string otherwise) const {
  ASSIGN_OR_RETURN(const std::optional<std::string> value, OptionalText(key));
  return value.value_or(std::move(otherwise));
}

absl::Status JsonObject::Unexpected(std::string_view key, std::string_view expected) const {
  const json* value = Find(key);
  return absl::InvalidArgumentError(fmt::format("{}: {}{}: expected {}, got {}", file_, prefix_, key, expected,
                                                value == nullptr ? "nothing" : Shown(*value)));
}

}  // namespace fleetune
