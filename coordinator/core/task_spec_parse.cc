#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <limits>
#include <list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "coordinator/core/task_keys.h"
#include "coordinator/core/task_spec.h"
#include "lora/plan/toml.h"
#include "lora/plan/training_keys.h"

namespace fleetune {
namespace {

using training_keys::Choice;
using training_keys::Seed;

// docs/design/lora_variants.md says why.
constexpr char kNoDora[] =
    "fleets do not train DoRA, whose magnitudes are of one base's rows, while devices hold quantizations of their own; on one "
    "machine `fleetune-model train --dora` does";

std::string LineOf(const toml::source_region& source) { return "line " + std::to_string(source.begin.line) + ": "; }

// Reads the keys of one table into fields that hold their defaults. The first error stays.
class TaskTable {
 public:
  TaskTable(const toml::table* table, std::string prefix) : table_(table), prefix_(std::move(prefix)) {}

  void operator()(const char* key, std::string& out) {
    if (auto text = Get<std::string>(key, "text in quotes")) out = *std::move(text);
  }
  void operator()(const char* key, bool& out) {
    if (const auto value = Get<bool>(key, "true or false")) out = *value;
  }
  template <std::unsigned_integral T>
  void operator()(const char* key, T& out) {
    const auto value = Get<int64_t>(key, "an integer");
    if (!value) return;
    if (!std::in_range<T>(*value)) {
      return Fail(key, "expected an integer from 0 to " + std::to_string(std::numeric_limits<T>::max()) + ", got " +
                           std::to_string(*value));
    }
    out = static_cast<T>(*value);
  }
  void operator()(const char* key, std::chrono::seconds& out) {
    uint32_t seconds = static_cast<uint32_t>(out.count());
    (*this)(key, seconds);
    out = std::chrono::seconds(seconds);
  }
  void operator()(const char* key, double& out) {
    if (const auto value = GetNumber(key)) out = *value;
  }
  void operator()(const char* key, float& out) {
    const auto value = GetNumber(key);
    if (!value) return;
    if (!(std::abs(*value) <= double{std::numeric_limits<float>::max()})) {
      return Fail(key, "expected a number in the range of 32-bit floats");
    }
    out = static_cast<float>(*value);
  }
  void operator()(const char* key, Seed<uint64_t> seed) {
    const toml::node* node = Find(key);
    if (node == nullptr) return;
    if (const auto integer = node->value_exact<int64_t>(); integer && *integer >= 0) {
      seed.value = static_cast<uint64_t>(*integer);
    } else if (!ParsesAsHex(node->value_exact<std::string>().value_or(""), seed.value)) {
      Fail(key, "expected an integer from 0, or text such as \"0x2a\"");
    }
  }
  template <typename T, size_t N>
  void operator()(const char* key, Choice<T, N> choice) {
    const auto text = Get<std::string>(key, "text in quotes");
    if (!text) return;
    std::string expected;
    for (const auto& [value, word] : choice.words) {
      if (*text == word) {
        choice.value = value;
        return;
      }
      expected += (expected.empty() ? "\"" : " or \"") + std::string(word) + '"';
    }
    Fail(key, "expected " + expected + ", got \"" + *text + '"');
  }
  void operator()(const char* key, std::vector<Projection>& out) {
    const toml::node* node = Find(key);
    if (node == nullptr) return;
    const toml::array* names = node->as_array();
    if (names == nullptr) return Fail(key, "expected a list such as [\"q\", \"v\"]");
    out.clear();
    for (const toml::node& element : *names) {
      const auto name = element.value_exact<std::string>();
      const auto target = name ? ProjectionFromName(*name) : std::nullopt;
      if (!target) return Fail(key, "expected names out of q, k, v, o, gate, up, down");
      out.push_back(*target);
    }
  }

  // The table under `key`, or an empty one.
  TaskTable Section(const char* key) {
    const toml::node* node = Find(key);
    if (node != nullptr && !node->is_table()) Fail(key, "expected a table, [" + std::string(key) + "]");
    const toml::table* table = node == nullptr ? nullptr : node->as_table();
    return TaskTable(table, std::string(key) + ".");
  }

  void Require(const char* key, const char* meaning) {
    if (!status_.ok() || (table_ != nullptr && table_->contains(key))) return;
    status_ = absl::InvalidArgumentError(std::string("key ") + key + " is missing: " + meaning);
  }

  void Fail(const char* key, const std::string& what) {
    const toml::node* node = table_ == nullptr ? nullptr : table_->get(key);
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError((node == nullptr ? "" : LineOf(node->source())) + prefix_ + key + ": " + what);
  }

  // Of a key that people look for where it is not.
  void Refuse(const char* key, const std::string& why) {
    if (table_ != nullptr && table_->contains(key)) Fail(key, why);
  }

  // The first error, or a key that nobody asked for.
  absl::Status Finish() const {
    if (!status_.ok() || table_ == nullptr) return status_;
    for (const auto& [key, node] : *table_) {
      if (std::ranges::find(known_, key.str()) == known_.end()) {
        return absl::InvalidArgumentError(LineOf(key.source()) + "unknown key " + prefix_ + std::string(key.str()));
      }
    }
    return absl::OkStatus();
  }

 private:
  static bool ParsesAsHex(std::string_view text, uint64_t& out) {
    if (!text.starts_with("0x") || text.size() == 2) return false;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + 2, end, out, 16);
    return error == std::errc() && stop == end;
  }

  const toml::node* Find(const char* key) {
    known_.push_back(key);
    return table_ == nullptr || !status_.ok() ? nullptr : table_->get(key);
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

  const toml::table* table_;
  std::string prefix_;
  std::vector<std::string_view> known_;
  absl::Status status_;
};

absl::StatusOr<TaskSpec> ReadTask(const toml::table& table,
                                  absl::FunctionRef<absl::StatusOr<Digest>(std::string_view)> find_model) {
  TaskSpec spec;
  spec.plan.targets = {Projection::kQ, Projection::kV};
  TaskTable top(&table, "");
  top.Require("name", "what the task is called");
  top.Require("base", "the name of a base model that was added");
  std::list<TaskTable> sections;
  task_keys::VisitAll(
      [&](const char* section) -> TaskTable& {
        if (*section == '\0') return top;
        TaskTable& added = sections.emplace_back(top.Section(section));
        if (std::string_view(section) == "adapter") added.Refuse("dora", kNoDora);
        return added;
      },
      spec);
  RETURN_IF_ERROR(top.Finish());
  for (const TaskTable& section : sections) RETURN_IF_ERROR(section.Finish());
  const absl::StatusOr<Digest> base = find_model(spec.model_name);
  if (!base.ok()) {
    top.Fail("base", std::string(base.status().message()));
    return top.Finish();
  }
  spec.plan.base = *base;
  // Out of range only if `invited` is, which is what the operator is told then.
  spec.plan.encoding.max_inputs = std::clamp(spec.most_together(), 1u, kMaxSummedInputs);
  return spec;
}

// "line 7: " of the field that an error of Validate begins with ("rank: ...", "server.tau: ..."); empty if the
// operator did not write it.
std::string LineOfField(const toml::table& table, std::string_view message) {
  const std::string_view path = message.substr(0, message.find(':'));
  const size_t dot = path.find('.');
  const std::string_view key = dot == std::string_view::npos ? path : path.substr(dot + 1);
  for (const char* section : task_keys::kSections) {
    if (dot != std::string_view::npos && path.substr(0, dot) != section) continue;
    const toml::table* written = *section == '\0' ? &table : table[section].as_table();
    const toml::node* node = written == nullptr ? nullptr : written->get(key);
    if (node != nullptr) return LineOf(node->source());
  }
  return "";
}

}  // namespace

absl::StatusOr<TaskSpec> ParseTaskSpec(std::string_view toml,
                                       absl::FunctionRef<absl::StatusOr<Digest>(std::string_view)> find_model) {
  if (toml.size() > kMaxTaskTomlBytes) {
    return absl::InvalidArgumentError("a task has at most " + std::to_string(kMaxTaskTomlBytes) +
                                      " bytes, this one has " + std::to_string(toml.size()));
  }
  const toml::parse_result parsed = toml::parse(toml);
  if (!parsed) {
    return absl::InvalidArgumentError(LineOf(parsed.error().source()) + std::string(parsed.error().description()));
  }
  ASSIGN_OR_RETURN(TaskSpec spec, ReadTask(parsed.table(), find_model));
  const absl::Status valid = Validate(spec);
  if (!valid.ok()) {
    const std::string message(valid.message());
    return absl::InvalidArgumentError(LineOfField(parsed.table(), message) + message);
  }
  return spec;
}

}  // namespace fleetune
