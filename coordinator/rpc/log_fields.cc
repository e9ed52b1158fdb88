#include "coordinator/rpc/log_fields.h"

#include <fmt/format.h>

namespace fleetune {
namespace {

void AppendQuoted(std::string_view text, std::string& line) {
  line += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      line += '\\';
      line += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      line += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      line += c;
    }
  }
  line += '"';
}

}  // namespace

std::string LogFields(std::initializer_list<LogField> fields) {
  std::string line;
  for (const LogField& field : fields) {
    if (!line.empty()) line += ',';
    AppendQuoted(field.key, line);
    line += ':';
    if (field.number) {
      line += field.text;
    } else {
      AppendQuoted(field.text, line);
    }
  }
  return line;
}

}  // namespace fleetune
