#include <charconv>
#include <concepts>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "coordinator/core/task_keys.h"
#include "coordinator/core/task_spec.h"
#include "lora/plan/training_keys.h"

namespace fleetune {
namespace {

using training_keys::Choice;
using training_keys::Seed;

// Values that are written hold no quote, backslash or control character: Validate has seen to that.
class TaskText {
 public:
  void operator()(const char* key, const std::string& value) { Line(key, '"' + value + '"'); }
  void operator()(const char* key, bool value) { Line(key, value ? "true" : "false"); }
  void operator()(const char* key, std::unsigned_integral auto value) { Line(key, std::to_string(value)); }
  void operator()(const char* key, std::chrono::seconds value) { Line(key, std::to_string(value.count())); }
  // The shortest digits that give this double again; a float is a double, too.
  void operator()(const char* key, std::floating_point auto value) {
    char text[64];
    std::string digits(text, std::to_chars(text, text + sizeof(text), static_cast<double>(value)).ptr);
    if (digits.find_first_of(".e") == std::string::npos) digits += ".0";
    Line(key, digits);
  }
  void operator()(const char* key, Seed<const uint64_t> seed) {
    if (std::in_range<int64_t>(seed.value)) return Line(key, std::to_string(seed.value));
    char text[18] = {'0', 'x'};
    Line(key, '"' + std::string(text, std::to_chars(text + 2, text + sizeof(text), seed.value, 16).ptr) + '"');
  }
  template <typename T, size_t N>
  void operator()(const char* key, Choice<T, N> choice) {
    for (const auto& [value, word] : choice.words) {
      if (value == choice.value) Line(key, '"' + std::string(word) + '"');
    }
  }
  void operator()(const char* key, const std::vector<Projection>& targets) {
    std::string list;
    for (const Projection target : targets) {
      if (!list.empty()) list += ", ";
      list += '"' + std::string(ProjectionName(target)) + '"';
    }
    Line(key, '[' + list + ']');
  }
  void Section(const char* name) { text_ += "\n[" + std::string(name) + "]\n"; }

  std::string Take() { return std::move(text_); }

 private:
  void Line(const char* key, const std::string& value) { text_ += std::string(key) + " = " + value + "\n"; }

  std::string text_;
};

}  // namespace

std::string FormatTaskSpec(const TaskSpec& spec) {
  CHECK(Validate(spec).ok());
  TaskText text;
  task_keys::VisitAll(
      [&](const char* section) -> TaskText& {
        if (*section != '\0') text.Section(section);
        return text;
      },
      spec);
  return text.Take();
}

}  // namespace fleetune
