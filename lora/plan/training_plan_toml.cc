#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "lora/plan/toml.h"
#include "lora/plan/training_keys.h"
#include "lora/plan/training_plan.h"

namespace fleetune {
namespace {

using training_keys::Choice;
using training_keys::Seed;

// The keys at the top, once for both directions, in the order in which they are written.
template <typename Visitor>
void VisitPlan(Visitor& visit, auto& plan) {
  visit("task", plan.task);
  visit("base", plan.base);
  training_keys::VisitAdapter(visit, plan);
  visit("data_tag", plan.data_tag);
  visit("min_examples", plan.min_examples);
}

class TomlText {
 public:
  void operator()(const char* key, const std::string& value) { Line(key, '"' + value + '"'); }
  void operator()(const char* key, const Digest& value) { Line(key, '"' + value.ToHex() + '"'); }
  void operator()(const char* key, bool value) { Line(key, value ? "true" : "false"); }
  void operator()(const char* key, std::unsigned_integral auto value) { Line(key, std::to_string(value)); }
  // The shortest digits that give this double again; a float is a double, too.
  void operator()(const char* key, std::floating_point auto value) {
    char text[64];
    const auto end = std::to_chars(text, text + sizeof(text), static_cast<double>(value)).ptr;
    std::string digits(text, end);
    if (digits.find_first_of(".e") == std::string::npos) digits += ".0";
    Line(key, digits);
  }
  void operator()(const char* key, Seed<const uint64_t> seed) {
    char text[20] = {'0', 'x'};
    const auto end = std::to_chars(text + 2, text + sizeof(text), seed.value, 16).ptr;
    Line(key, '"' + std::string(text, end) + '"');
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

std::string LineOf(const toml::source_region& source) { return "line " + std::to_string(source.begin.line) + ": "; }

// Reads the keys of one table. The first error stays; what follows it is skipped.
class TableReader {
 public:
  TableReader(const toml::table& table, std::string prefix) : table_(table), prefix_(std::move(prefix)) {}

  void operator()(const char* key, std::string& out) {
    if (const auto text = Get<std::string>(key, "a string")) out = *text;
  }
  void operator()(const char* key, bool& out) {
    if (const auto value = Get<bool>(key, "true or false")) out = *value;
  }
  template <std::unsigned_integral T>
  void operator()(const char* key, T& out) {
    const auto value = Get<int64_t>(key, "an integer");
    if (!value) return;
    if (!std::in_range<T>(*value)) return Fail(key, "does not fit: " + std::to_string(*value));
    out = static_cast<T>(*value);
  }
  void operator()(const char* key, double& out) {
    if (const auto value = GetNumber(key)) out = *value;
  }
  void operator()(const char* key, float& out) {
    const auto value = GetNumber(key);
    if (!value) return;
    if (!(std::abs(*value) <= double{std::numeric_limits<float>::max()})) {
      return Fail(key, "is out of the range of 32-bit floats");
    }
    out = static_cast<float>(*value);
  }
  void operator()(const char* key, Seed<uint64_t> seed) {
    const auto text = Get<std::string>(key, "a string such as \"0x2a\"");
    if (!text) return;
    const char* end = text->data() + text->size();
    if (!text->starts_with("0x") || text->size() == 2 || !ParsesToEnd(text->data() + 2, end, seed)) {
      Fail(key, "expected a string such as \"0x2a\"");
    }
  }
  void operator()(const char* key, Digest& out) {
    const auto text = Get<std::string>(key, "a string");
    if (!text) return;
    const auto digest = Digest::FromHex(*text);
    if (!digest.ok()) return Fail(key, std::string(digest.status().message()));
    out = *digest;
  }
  template <typename T, size_t N>
  void operator()(const char* key, Choice<T, N> choice) {
    const auto text = Get<std::string>(key, "a string");
    if (!text) return;
    std::string expected;
    for (const auto& [value, word] : choice.words) {
      if (*text == word) {
        choice.value = value;
        return;
      }
      expected += (expected.empty() ? "\"" : " or \"") + std::string(word) + '"';
    }
    Fail(key, "expected " + expected + ", got \"" + *text + "\"");
  }
  void operator()(const char* key, std::vector<Projection>& out) {
    const toml::node* node = Find(key);
    if (node == nullptr) return;
    const toml::array* array = node->as_array();
    if (array == nullptr) return Fail(key, "expected an array of strings");
    for (const toml::node& element : *array) {
      const auto name = element.value_exact<std::string>();
      const auto target = name ? ProjectionFromName(*name) : std::nullopt;
      if (!target) return Fail(key, "expected names out of q, k, v, o, gate, up, down");
      out.push_back(*target);
    }
  }

  // The table under `key`; an empty one if there is none, which is an error then.
  const toml::table& Section(const char* key) {
    static const toml::table kNone;
    const toml::node* node = Find(key);
    if (node == nullptr) return kNone;
    if (!node->is_table()) {
      Fail(key, "expected a table");
      return kNone;
    }
    return *node->as_table();
  }

  // The first error of all keys read, or a key that nobody read.
  absl::Status Finish() const {
    if (!status_.ok()) return status_;
    for (const auto& [key, node] : table_) {
      if (std::ranges::find(read_, key.str()) == read_.end()) {
        return absl::InvalidArgumentError(LineOf(key.source()) + "unknown key " + prefix_ + std::string(key.str()));
      }
    }
    return absl::OkStatus();
  }

 private:
  static bool ParsesToEnd(const char* begin, const char* end, Seed<uint64_t> seed) {
    const auto [stop, error] = std::from_chars(begin, end, seed.value, 16);
    return error == std::errc() && stop == end;
  }

  const toml::node* Find(const char* key) {
    read_.push_back(key);
    const toml::node* node = table_.get(key);
    if (node == nullptr && status_.ok()) {
      status_ = absl::InvalidArgumentError("key " + prefix_ + key + " is missing");
    }
    return status_.ok() ? node : nullptr;
  }

  template <typename T>
  std::optional<T> Get(const char* key, const char* what) {
    const toml::node* node = Find(key);
    if (node == nullptr) return std::nullopt;
    auto value = node->value_exact<T>();
    if (!value) Fail(key, std::string("expected ") + what);
    return value;
  }

  // A float, or an integer in its place.
  std::optional<double> GetNumber(const char* key) {
    const toml::node* node = Find(key);
    if (node == nullptr) return std::nullopt;
    if (const auto* integer = node->as_integer()) return static_cast<double>(integer->get());
    if (const auto* number = node->as_floating_point()) return number->get();
    Fail(key, "expected a number");
    return std::nullopt;
  }

  void Fail(const char* key, const std::string& what) {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(LineOf(table_.get(key)->source()) + prefix_ + key + ": " + what);
  }

  const toml::table& table_;
  std::string prefix_;
  std::vector<std::string_view> read_;
  absl::Status status_;
};

}  // namespace

std::string FormatTrainingPlan(const TrainingPlan& plan) {
  CHECK(Validate(plan).ok());
  TomlText text;
  VisitPlan(text, plan);
  text.Section("train");
  training_keys::VisitTraining(text, plan.train);
  text.Section("encoding");
  training_keys::VisitEncoding(text, plan.encoding);
  text("max_inputs", plan.encoding.max_inputs);
  text.Section("secure");
  text("mode", Choice{plan.secure.mode, training_keys::kSecureWords});
  training_keys::VisitSecure(text, plan.secure);
  text.Section("privacy");
  training_keys::VisitPrivacy(text, plan.privacy);
  return text.Take();
}

absl::StatusOr<TrainingPlan> ParseTrainingPlan(std::string_view toml) {
  if (toml.size() > kMaxPlanBytes) {
    return absl::ResourceExhaustedError("a training plan has at most " + std::to_string(kMaxPlanBytes) +
                                        " bytes, this one has " + std::to_string(toml.size()));
  }
  const toml::parse_result parsed = toml::parse(toml);
  if (!parsed) {
    return absl::InvalidArgumentError(LineOf(parsed.error().source()) + std::string(parsed.error().description()));
  }
  TrainingPlan plan;
  TableReader top(parsed.table(), "");
  VisitPlan(top, plan);
  TableReader train(top.Section("train"), "train.");
  training_keys::VisitTraining(train, plan.train);
  TableReader encoding(top.Section("encoding"), "encoding.");
  training_keys::VisitEncoding(encoding, plan.encoding);
  encoding("max_inputs", plan.encoding.max_inputs);
  TableReader secure(top.Section("secure"), "secure.");
  secure("mode", Choice{plan.secure.mode, training_keys::kSecureWords});
  training_keys::VisitSecure(secure, plan.secure);
  TableReader privacy(top.Section("privacy"), "privacy.");
  training_keys::VisitPrivacy(privacy, plan.privacy);
  for (const TableReader* reader : {&top, &train, &encoding, &secure, &privacy}) RETURN_IF_ERROR(reader->Finish());
  RETURN_IF_ERROR(Validate(plan));
  return plan;
}

}  // namespace fleetune
