#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "inference/runtime/json_schema.h"

namespace fleetune {

// Reads a JSON value byte by byte and knows what may follow: a pushdown automaton whose stack holds what is open. What it
// accepts is the beginning of a value that fits the schema, in RFC 8259's grammar, without surrogates in \u escapes; white space
// is one space, or a line break and an indentation. Bytes over 0x7F are taken as they come within strings. Copies are cheap: to try something, try it on a copy. Not thread-safe.
class JsonAutomaton {
 public:
  // Deeper values are not begun.
  static constexpr size_t kMaxDepth = 64;
  // Spaces of an indentation for each open value, and bytes of a number: a model that repeats itself must get on.
  static constexpr uint32_t kMaxIndentation = 4;
  static constexpr uint32_t kMaxNumberBytes = 40;

  explicit JsonAutomaton(std::shared_ptr<const JsonValueSchema> schema);

  // False if the bytes cannot follow; what is accepted then is undefined.
  [[nodiscard]] bool Push(std::string_view bytes);

  // Whether the value is whole. Of a number: it may still go on.
  bool complete() const;

  // Whether the next byte is of a string's text, where anything goes but quotes, backslashes and control characters.
  bool in_string() const;

 private:
  enum class Place : uint8_t {
    kValue,  // begins here
    // Of an object; a key of any name, and a member's value, are frames above it.
    kObjectBegin, kNextKey, kNamedKey, kFreeKey, kColon, kMember, kMemberEnd,
    kArrayBegin, kItem, kItemEnd,
    kString, kEscape, kHex,
    // Of a number, whose exponent has one digit or two: so every one is in the range of a double.
    kMinus, kZero, kDigits, kPoint, kFraction, kExponent, kExponentSign, kExponentDigit, kExponentEnd,
    kLiteral,
  };
  struct Frame {
    Place place = Place::kValue;
    const JsonValueSchema* schema = nullptr;  // null: a key of any name
    uint32_t count = 0;      // items begun, hexadecimal digits, bytes of a number
    uint32_t property = 0;   // of an object: the next that may come
    bool surrogate = false;  // the hexadecimal digits would be one if the next is 8 to F
    std::string text;        // of a literal or key so far
  };

  bool PushByte(uint8_t byte);
  bool StepBlank(uint8_t byte);
  bool BeginValue(uint8_t byte);
  bool StepObject(uint8_t byte);
  bool StepArray(uint8_t byte);
  bool StepString(uint8_t byte);
  bool StepNamedKey(uint8_t byte);
  bool StepHex(uint8_t byte);
  bool StepLiteral(uint8_t byte);
  // Whether it goes on; if not, the number may have ended before the byte.
  bool StepNumber(uint8_t byte);
  bool NumberMayEnd() const;
  static bool IsNumber(Place place) { return place >= Place::kMinus && place <= Place::kExponentEnd; }
  // A value is over: its frame goes, and what held it goes on.
  bool EndValue();
  bool BeginKey();
  bool EndKey();
  static bool KeyMayBegin(const Frame& object);
  static bool ObjectMayEnd(const Frame& object);
  bool OpenValue(const JsonValueSchema* schema);

  std::shared_ptr<const JsonValueSchema> schema_;
  std::vector<Frame> frames_;
  uint32_t blanks_ = 0;  // since the last other byte
  bool line_broken_ = false;  // by the first of them
};

}  // namespace fleetune
