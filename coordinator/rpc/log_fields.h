#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace fleetune {

// One fact of a log line. Never a secret, key, token or training text.
struct LogField {
  LogField(std::string_view key_, std::string_view value) : key(key_), text(value) {}
  LogField(std::string_view key_, const std::string& value) : key(key_), text(value) {}
  LogField(std::string_view key_, const char* value) : key(key_), text(value) {}
  LogField(std::string_view key_, int64_t value) : key(key_), text(std::to_string(value)), number(true) {}

  std::string_view key;
  std::string text;
  bool number = false;
};

// The inside of a JSON object: "event":"call","micros":12. The logger's pattern puts the braces, time and level
// around it, so a line is one JSON object and what a peer sent cannot forge another.
std::string LogFields(std::initializer_list<LogField> fields);

}  // namespace fleetune
