#include "inference/runtime/json_automaton.h"

#include <algorithm>

namespace fleetune {
namespace {

bool IsBlank(uint8_t byte) { return byte == ' ' || byte == '\n'; }
bool IsDigit(uint8_t byte) { return byte >= '0' && byte <= '9'; }
bool IsHex(uint8_t byte) {
  return IsDigit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

}  // namespace

JsonAutomaton::JsonAutomaton(std::shared_ptr<const JsonValueSchema> schema) : schema_(std::move(schema)) {
  OpenValue(schema_.get());
}

bool JsonAutomaton::Push(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [this](char byte) { return PushByte(static_cast<uint8_t>(byte)); });
}

bool JsonAutomaton::complete() const {
  return frames_.empty() || (frames_.size() == 1 && IsNumber(frames_[0].place) && NumberMayEnd());
}

bool JsonAutomaton::in_string() const {
  return !frames_.empty() && frames_.back().place == Place::kString;
}

bool JsonAutomaton::PushByte(uint8_t byte) {
  // A number or a literal ends where what holds it goes on.
  if (!frames_.empty() && IsNumber(frames_.back().place)) {
    if (StepNumber(byte)) return true;
    if (!NumberMayEnd() || !EndValue()) return false;
  } else if (!frames_.empty() && frames_.back().place == Place::kLiteral) {
    if (StepLiteral(byte)) return true;
    const std::vector<std::string>& literals = frames_.back().schema->literals;
    if (std::find(literals.begin(), literals.end(), frames_.back().text) == literals.end() || !EndValue()) return false;
  }
  if (frames_.empty()) return false;
  switch (frames_.back().place) {
    case Place::kString:
    case Place::kEscape:
    case Place::kHex: return StepString(byte);
    case Place::kNamedKey: return StepNamedKey(byte);
    default: break;
  }
  if (IsBlank(byte)) return StepBlank(byte);
  blanks_ = 0;
  switch (frames_.back().place) {
    case Place::kValue: return BeginValue(byte);
    case Place::kArrayBegin:
    case Place::kItemEnd: return StepArray(byte);
    default: return StepObject(byte);
  }
}

bool JsonAutomaton::StepBlank(uint8_t byte) {
  if (blanks_++ == 0) {
    line_broken_ = byte == '\n';
    return true;
  }
  return line_broken_ && byte == ' ' && blanks_ - 1 <= kMaxIndentation * frames_.size();
}

bool JsonAutomaton::OpenValue(const JsonValueSchema* schema) {
  if (frames_.size() >= kMaxDepth) return false;
  frames_.emplace_back().schema = schema;
  return true;
}

bool JsonAutomaton::BeginValue(uint8_t byte) {
  Frame& frame = frames_.back();
  const JsonValueSchema& schema = *frame.schema;
  if (byte == '{' && schema.object) {
    frame.place = Place::kObjectBegin;
  } else if (byte == '[' && schema.array) {
    frame.place = Place::kArrayBegin;
  } else if (byte == '"' && schema.string) {
    frame.place = Place::kString;
  } else if ((byte == '-' || IsDigit(byte)) && (schema.number || schema.integer)) {
    frame.place = byte == '-' ? Place::kMinus : byte == '0' ? Place::kZero : Place::kDigits;
    frame.count = 1;
  } else {
    frame.place = Place::kLiteral;
    return StepLiteral(byte);
  }
  return true;
}

bool JsonAutomaton::StepLiteral(uint8_t byte) {
  Frame& frame = frames_.back();
  const std::string longer = frame.text + static_cast<char>(byte);
  const std::vector<std::string>& literals = frame.schema->literals;
  const bool fits = std::any_of(literals.begin(), literals.end(),
                                [&](const std::string& literal) { return literal.starts_with(longer); });
  if (!fits) return false;
  frame.text = longer;
  // A literal that no other one goes on from is over at once.
  const auto goes_on = [&](const std::string& literal) { return literal.size() > longer.size() && literal.starts_with(longer); };
  const bool is_whole = std::find(literals.begin(), literals.end(), longer) != literals.end();
  if (is_whole && std::none_of(literals.begin(), literals.end(), goes_on)) return EndValue();
  return true;
}

bool JsonAutomaton::StepNumber(uint8_t byte) {
  Frame& frame = frames_.back();
  const bool whole_only = !frame.schema->number;
  const auto go = [&](Place place) {
    if (frame.count >= kMaxNumberBytes && NumberMayEnd()) return false;
    frame.place = place;
    ++frame.count;
    return true;
  };
  const bool is_exponent = !whole_only && (byte == 'e' || byte == 'E');
  switch (frame.place) {
    case Place::kMinus: return IsDigit(byte) && go(byte == '0' ? Place::kZero : Place::kDigits);
    case Place::kDigits:
      if (IsDigit(byte)) return go(Place::kDigits);
      [[fallthrough]];
    case Place::kZero:
      if (byte == '.' && !whole_only) return go(Place::kPoint);
      return is_exponent && go(Place::kExponent);
    case Place::kPoint: return IsDigit(byte) && go(Place::kFraction);
    case Place::kFraction: return IsDigit(byte) ? go(Place::kFraction) : is_exponent && go(Place::kExponent);
    case Place::kExponent:
      if (byte == '+' || byte == '-') return go(Place::kExponentSign);
      [[fallthrough]];
    case Place::kExponentSign: return IsDigit(byte) && go(Place::kExponentDigit);
    case Place::kExponentDigit: return IsDigit(byte) && go(Place::kExponentEnd);
    default: return false;
  }
}

bool JsonAutomaton::NumberMayEnd() const {
  const Place place = frames_.back().place;
  return place == Place::kZero || place == Place::kDigits || place == Place::kFraction ||
         place == Place::kExponentDigit || place == Place::kExponentEnd;
}

bool JsonAutomaton::EndValue() {
  frames_.pop_back();
  if (frames_.empty()) return true;
  Place& place = frames_.back().place;
  place = place == Place::kFreeKey ? Place::kColon : place == Place::kMember ? Place::kMemberEnd : Place::kItemEnd;
  return true;
}

bool JsonAutomaton::StepString(uint8_t byte) {
  Frame& frame = frames_.back();
  switch (frame.place) {
    case Place::kString:
      if (byte == '"') return EndValue();
      if (byte == '\\') frame.place = Place::kEscape;
      return byte >= 0x20;
    case Place::kEscape:
      frame.place = byte == 'u' ? Place::kHex : Place::kString;
      frame.count = 0;
      return std::string_view("\"\\/bfnrtu").find(static_cast<char>(byte)) != std::string_view::npos;
    default: return StepHex(byte);
  }
}

bool JsonAutomaton::StepHex(uint8_t byte) {
  Frame& frame = frames_.back();
  if (!IsHex(byte)) return false;
  // D800 to DFFF are halves of a pair.
  if (frame.count == 0) frame.surrogate = byte == 'd' || byte == 'D';
  if (frame.count == 1 && frame.surrogate && !(byte >= '0' && byte <= '7')) return false;
  if (++frame.count == 4) frame.place = Place::kString;
  return true;
}

bool JsonAutomaton::KeyMayBegin(const Frame& object) {
  if (object.schema->properties.empty()) return !object.schema->closed;
  return object.property < object.schema->properties.size();
}

bool JsonAutomaton::ObjectMayEnd(const Frame& object) {
  const auto& properties = object.schema->properties;
  return std::none_of(properties.begin() + object.property, properties.end(),
                      [](const JsonValueSchema::Property& one) { return one.required; });
}

bool JsonAutomaton::StepObject(uint8_t byte) {
  Frame& frame = frames_.back();
  switch (frame.place) {
    case Place::kObjectBegin:
      if (byte == '}') return ObjectMayEnd(frame) && EndValue();
      [[fallthrough]];
    case Place::kNextKey: return byte == '"' && BeginKey();
    case Place::kColon: return byte == ':' && EndKey();
    case Place::kMemberEnd:
      if (byte == '}') return ObjectMayEnd(frame) && EndValue();
      frame.place = Place::kNextKey;
      return byte == ',' && KeyMayBegin(frame);
    default: return false;
  }
}

bool JsonAutomaton::BeginKey() {
  Frame& frame = frames_.back();
  if (!KeyMayBegin(frame)) return false;
  frame.text.clear();
  frame.place = frame.schema->properties.empty() ? Place::kFreeKey : Place::kNamedKey;
  if (frame.place == Place::kNamedKey) return true;
  if (!OpenValue(nullptr)) return false;
  frames_.back().place = Place::kString;
  return true;
}

bool JsonAutomaton::EndKey() {
  Frame& frame = frames_.back();
  const JsonValueSchema& schema = *frame.schema;
  frame.place = Place::kMember;
  if (!schema.properties.empty()) return OpenValue(schema.properties[frame.property - 1].value.get());
  return OpenValue(schema.other != nullptr ? schema.other.get() : &schema);
}

bool JsonAutomaton::StepNamedKey(uint8_t byte) {
  Frame& frame = frames_.back();
  const std::vector<JsonValueSchema::Property>& properties = frame.schema->properties;
  for (uint32_t i = frame.property; i < properties.size(); ++i) {
    const std::string& key = properties[i].key;
    // Keys are as written, so one never goes on with a bare quote.
    if (byte == '"' && key == frame.text) {
      frame.property = i + 1;
      frame.place = Place::kColon;
      return true;
    }
    if (key.starts_with(frame.text) && key.size() > frame.text.size() &&
        key[frame.text.size()] == static_cast<char>(byte)) {
      frame.text.push_back(static_cast<char>(byte));
      return true;
    }
    if (properties[i].required) return false;  // what comes after it cannot come before it
  }
  return false;
}

bool JsonAutomaton::StepArray(uint8_t byte) {
  Frame& frame = frames_.back();
  const JsonValueSchema& schema = *frame.schema;
  if (byte == ']') return frame.count >= schema.min_items && EndValue();
  if (frame.count == schema.max_items) return false;
  const bool is_first = frame.place == Place::kArrayBegin;
  if (!is_first && byte != ',') return false;
  ++frame.count;
  frame.place = Place::kItem;
  if (!OpenValue(schema.items != nullptr ? schema.items.get() : &schema)) return false;
  return !is_first || BeginValue(byte);
}

}  // namespace fleetune
