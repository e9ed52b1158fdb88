// A schema and, after a line of "---", bytes: neither crashes, and what the automaton takes as a whole value is JSON.

#include <cstdint>

#include "base/bytes.h"
#include "base/check.h"
#include "base/utf8.h"
#include "inference/runtime/json_automaton.h"
#include "nlohmann/json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  constexpr std::string_view kLine = "\n---\n";
  const std::string_view text = fleetune::AsText({bytes, size});
  const size_t line = text.find(kLine);
  const auto schema = fleetune::ParseJsonSchema(text.substr(0, line));
  const std::string_view value = line == std::string_view::npos ? text : text.substr(line + kLine.size());
  for (const auto& one : {fleetune::AnyJsonValue(), fleetune::AnyJsonObject(), schema.value_or(fleetune::AnyJsonValue())}) {
    fleetune::JsonAutomaton automaton(one);
    if (automaton.Push(value) && automaton.complete() && fleetune::IsUtf8(value)) {
      CHECK(nlohmann::json::accept(value));
    }
  }
  return 0;
}
