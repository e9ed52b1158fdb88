#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/status_macros.h"
#include "coordinator/core/task_spec.h"
#include "lora/plan/toml.h"

namespace fleetune {
namespace {

// A value that is one of a few words.
template <typename T, size_t N>
struct Choice {
  T& value;
  const std::array<std::pair<std::remove_const_t<T>, std::string_view>, N>& words;
};
template <typename T, typename Words, size_t N>
Choice(T&, const std::array<Words, N>&) -> Choice<T, N>;

constexpr std::array<std::pair<Schedule, std::string_view>, 2> kScheduleWords = {
    {{Schedule::kConstant, "constant"}, {Schedule::kCosine, "cosine"}}};
constexpr std::array<std::pair<ServerOptimizerKind, std::string_view>, 2> kOptimizerWords = {
    {{ServerOptimizerKind::kFedAvg, "fedavg"}, {ServerOptimizerKind::kFedAdam, "fedadam"}}};
constexpr std::array<std::pair<bool, std::string_view>, 2> kOffOnWords = {{{false, "off"}, {true, "on"}}};

// TOML's integers have 63 bits: a seed above is written as text, "0x...".
template <typename T>
struct SeedKey {
  T& value;
};
template <typename T>
SeedKey(T&) -> SeedKey<T>;

// The keys, once for both directions, in the order in which they are written.
template <typename Visitor>
void VisitTop(Visitor& visit, auto& spec) {
  visit("name", spec.plan.task);
  visit("base", spec.model_name);
  visit("secure_aggregation", Choice{spec.secure_aggregation, kOffOnWords});
  visit("data_tag", spec.plan.data_tag);
  visit("device_tag", spec.device_tag);
  visit("auto_release", spec.auto_release);
}

template <typename Visitor>
void VisitAdapter(Visitor& visit, auto& plan) {
  visit("targets", plan.targets);
  visit("rank", plan.rank);
  visit("alpha", plan.alpha);
  visit("seed", SeedKey{plan.seed});
}

template <typename Visitor>
void VisitTraining(Visitor& visit, auto& train) {
  visit("learning_rate", train.learning_rate);
  visit("weight_decay", train.weight_decay);
  visit("beta1", train.beta1);
  visit("beta2", train.beta2);
  visit("epsilon", train.epsilon);
  visit("clip_gradient_norm", train.clip_gradient_norm);
  visit("dropout", train.dropout);
  visit("schedule", Choice{train.schedule, kScheduleWords});
  visit("warmup_steps", train.warmup_steps);
  visit("steps", train.steps);
  visit("epochs", train.epochs);
  visit("sequence_length", train.sequence_length);
  visit("micro_batch", train.micro_batch);
  visit("accumulate", train.accumulate);
  visit("train_a", train.train_a);
  visit("seed", SeedKey{train.seed});
}

template <typename Visitor>
void VisitUpdate(Visitor& visit, auto& plan) {
  visit("clip_norm", plan.encoding.clip_norm);
  visit("fraction_bits", plan.encoding.fraction_bits);
  visit("max_weight", plan.encoding.max_weight);
  visit("min_examples", plan.min_examples);
}

template <typename Visitor>
void VisitRound(Visitor& visit, auto& spec) {
  visit("invited", spec.invited_devices);
  visit("needed", spec.needed_updates);
  visit("deadline_seconds", spec.round_deadline);
  visit("poll_seconds", spec.poll_interval);
}

template <typename Visitor>
void VisitServer(Visitor& visit, auto& server) {
  visit("optimizer", Choice{server.kind, kOptimizerWords});
  visit("learning_rate", server.learning_rate);
  visit("momentum", server.momentum);
  visit("beta1", server.beta1);
  visit("beta2", server.beta2);
  visit("tau", server.tau);
}

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
  void operator()(const char* key, SeedKey<const uint64_t> seed) {
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
  void operator()(const char* key, SeedKey<uint64_t> seed) {
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
  top.Require("secure_aggregation", "it must say \"off\", since updates are not masked yet");
  VisitTop(top, spec);
  TaskTable adapter = top.Section("adapter");
  VisitAdapter(adapter, spec.plan);
  TaskTable training = top.Section("training");
  VisitTraining(training, spec.plan.train);
  TaskTable update = top.Section("update");
  VisitUpdate(update, spec.plan);
  TaskTable round = top.Section("round");
  VisitRound(round, spec);
  TaskTable server = top.Section("server");
  VisitServer(server, spec.server);
  for (const TaskTable* read : {&top, &adapter, &training, &update, &round, &server}) {
    RETURN_IF_ERROR(read->Finish());
  }
  const absl::StatusOr<Digest> base = find_model(spec.model_name);
  if (!base.ok()) {
    top.Fail("base", std::string(base.status().message()));
    return top.Finish();
  }
  spec.plan.base = *base;
  return spec;
}

// "line 7: " of the field that an error of Validate begins with ("rank: ...", "server.tau: ..."); empty if the
// operator did not write it.
std::string LineOfField(const toml::table& table, std::string_view message) {
  const std::string_view path = message.substr(0, message.find(':'));
  const size_t dot = path.find('.');
  const std::string_view key = dot == std::string_view::npos ? path : path.substr(dot + 1);
  for (const char* section : {"", "adapter", "training", "update", "round", "server"}) {
    if (dot != std::string_view::npos && path.substr(0, dot) != section) continue;
    const toml::table* written = *section == '\0' ? &table : table[section].as_table();
    const toml::node* node = written == nullptr ? nullptr : written->get(key);
    if (node != nullptr) return LineOf(node->source());
  }
  return "";
}

}  // namespace

std::string FormatTaskSpec(const TaskSpec& spec) {
  CHECK(Validate(spec).ok());
  TaskText text;
  VisitTop(text, spec);
  text.Section("adapter");
  VisitAdapter(text, spec.plan);
  text.Section("training");
  VisitTraining(text, spec.plan.train);
  text.Section("update");
  VisitUpdate(text, spec.plan);
  text.Section("round");
  VisitRound(text, spec);
  text.Section("server");
  VisitServer(text, spec.server);
  return text.Take();
}

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
