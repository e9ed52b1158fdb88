#include "client/app/print.h"

#include <cstdio>

#include <fmt/chrono.h>

namespace fleetune {

void PrintJson(const nlohmann::json& value) {
  PrintLine(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void PrintLine(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
}

std::string FormatTime(TimePoint time) {
  if (ToMillis(time) == 0) return "never";
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC",
                     fmt::gmtime(std::chrono::time_point_cast<std::chrono::seconds>(time)));
}

}  // namespace fleetune
