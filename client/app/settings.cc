#include "client/app/settings.h"

#include <algorithm>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "client/core/profile.h"
#include "client/data/example_store.h"
#include "inference/server/api_request.h"
#include "inference/server/listen_address.h"
#include "lora/plan/toml.h"

namespace fleetune {
namespace {

constexpr uint64_t kMegabyte = 1'000'000;

absl::Status Wrong(const std::string& key, const toml::node& node, std::string_view expected) {
  return absl::InvalidArgumentError(
      fmt::format("client.toml, line {}: {}: expected {}", node.source().begin.line, key, expected));
}

// Reads keys of one table, each at most once, and refuses what is left.
class TableReader {
 public:
  TableReader(const toml::table& table, std::string prefix) : table_(table), prefix_(std::move(prefix)) {}

  template <typename T>
  absl::Status Integer(std::string_view key, int64_t least, int64_t most, T& value) {
    const toml::node* node = Take(key);
    if (node == nullptr) return absl::OkStatus();
    const std::optional<int64_t> number = node->is_integer() ? node->value<int64_t>() : std::nullopt;
    if (!number.has_value() || *number < least || *number > most) {
      return Wrong(Name(key), *node, fmt::format("a whole number from {} to {}", least, most));
    }
    value = static_cast<T>(*number);
    return absl::OkStatus();
  }

  absl::Status Number(std::string_view key, double least, double most, double& value) {
    const toml::node* node = Take(key);
    if (node == nullptr) return absl::OkStatus();
    const std::optional<double> number = node->is_number() ? node->value<double>() : std::nullopt;
    if (!number.has_value() || !(*number >= least && *number <= most)) {
      return Wrong(Name(key), *node, fmt::format("a number from {} to {}", least, most));
    }
    value = *number;
    return absl::OkStatus();
  }

  absl::Status Text(std::string_view key, std::string& value) {
    const toml::node* node = Take(key);
    if (node == nullptr) return absl::OkStatus();
    if (!node->is_string()) return Wrong(Name(key), *node, "text in quotes");
    value = **node->as_string();
    return absl::OkStatus();
  }

  absl::Status Texts(std::string_view key, std::vector<std::string>& values) {
    const toml::node* node = Take(key);
    if (node == nullptr) return absl::OkStatus();
    if (!node->is_array()) return Wrong(Name(key), *node, "a list of texts");
    for (const toml::node& element : *node->as_array()) {
      if (!element.is_string()) return Wrong(Name(key), element, "a list of texts");
      values.push_back(**element.as_string());
    }
    return absl::OkStatus();
  }

  absl::Status Flag(std::string_view key, bool& value) {
    const toml::node* node = Take(key);
    if (node == nullptr) return absl::OkStatus();
    if (!node->is_boolean()) return Wrong(Name(key), *node, "true or false");
    value = **node->as_boolean();
    return absl::OkStatus();
  }

  // "06:30" as minutes of the day.
  absl::Status TimeOfDay(std::string_view key, int& minutes) {
    const toml::node* node = Take(key);
    if (node == nullptr) return absl::OkStatus();
    const std::string text = node->is_string() ? **node->as_string() : "";
    auto digit = [&text](size_t i) { return text[i] >= '0' && text[i] <= '9'; };
    const bool shaped = text.size() == 5 && text[2] == ':' && digit(0) && digit(1) && digit(3) && digit(4);
    const int hour = shaped ? (text[0] - '0') * 10 + (text[1] - '0') : 24;
    const int minute = shaped ? (text[3] - '0') * 10 + (text[4] - '0') : 60;
    if (hour > 23 || minute > 59) {
      return Wrong(Name(key), *node, "a time of day as \"22:00\"");
    }
    minutes = hour * 60 + minute;
    return absl::OkStatus();
  }

  absl::StatusOr<const toml::table*> Table(std::string_view key) {
    const toml::node* node = Take(key);
    if (node == nullptr) return nullptr;
    if (!node->is_table()) return Wrong(Name(key), *node, "a table");
    return node->as_table();
  }

  absl::Status RefuseOthers() const {
    for (const auto& [key, node] : table_) {
      const std::string_view name = key.str();
      if (std::find(taken_.begin(), taken_.end(), name) != taken_.end()) continue;
      std::string known;
      for (const std::string& taken : taken_) known += (known.empty() ? "" : ", ") + taken;
      return absl::InvalidArgumentError(fmt::format("client.toml, line {}: unknown key \"{}\": expected one of {}",
                                                    key.source().begin.line, Name(name), known));
    }
    return absl::OkStatus();
  }

 private:
  const toml::node* Take(std::string_view key) {
    taken_.emplace_back(key);
    return table_.get(key);
  }
  std::string Name(std::string_view key) const { return prefix_ + std::string(key); }

  const toml::table& table_;
  const std::string prefix_;
  std::vector<std::string> taken_;
};

absl::Status ReadGovernor(const toml::table& table, GovernorLimits& limits) {
  TableReader reader(table, "governor.");
  uint64_t reserve = limits.memory_reserve_bytes / kMegabyte;
  RETURN_IF_ERROR(reader.Integer("min_battery_percent_unplugged", 0, 101, limits.min_battery_percent_unplugged));
  RETURN_IF_ERROR(reader.Integer("min_battery_percent_plugged", 0, 100, limits.min_battery_percent_plugged));
  RETURN_IF_ERROR(reader.Number("max_celsius", 20, 120, limits.max_celsius));
  RETURN_IF_ERROR(reader.Number("max_load_per_cpu", 0, 1000, limits.max_load_per_cpu));
  RETURN_IF_ERROR(reader.Integer("memory_reserve_megabytes", 0, 1'000'000, reserve));
  RETURN_IF_ERROR(reader.TimeOfDay("train_from", limits.from_minute));
  RETURN_IF_ERROR(reader.TimeOfDay("train_until", limits.to_minute));
  limits.memory_reserve_bytes = reserve * kMegabyte;
  return reader.RefuseOthers();
}

absl::Status ReadPrivacy(const toml::table& table, PrivacyPolicy& policy) {
  TableReader reader(table, "privacy.");
  secagg::SessionPolicy& session = policy.session;
  RETURN_IF_ERROR(reader.Integer("min_cohort", secagg::kMinCohort, secagg::kMaxCohort, session.min_cohort));
  RETURN_IF_ERROR(reader.Integer("min_survivors", secagg::kMinCohort, secagg::kMaxCohort, session.min_survivors));
  RETURN_IF_ERROR(reader.Integer("min_threshold", 2, secagg::kMaxCohort, session.min_threshold));
  RETURN_IF_ERROR(reader.Number("min_adversarial", 0, 0.5, session.min_adversarial));
  RETURN_IF_ERROR(reader.Number("max_corruption", 0, 1, session.max_corruption));
  RETURN_IF_ERROR(reader.Flag("malicious_profile_only", session.malicious_profile_only));
  RETURN_IF_ERROR(reader.Flag("refuse_unmasked", policy.refuse_unmasked));
  RETURN_IF_ERROR(reader.Number("min_noise_multiplier", 0, 100, session.min_noise_multiplier));
  RETURN_IF_ERROR(reader.Number("epsilon_limit", 1e-3, 1000, policy.limit.epsilon));
  RETURN_IF_ERROR(reader.Number("epsilon_delta", 1e-12, 1e-3, policy.limit.delta));
  return reader.RefuseOthers();
}

absl::StatusOr<PersonalSettings> ReadPersonal(const toml::table& table) {
  constexpr double kAboveZero = 1e-9;
  PersonalSettings personal;
  TableReader reader(table, "personal.");
  RETURN_IF_ERROR(reader.Text("task", personal.task));
  RETURN_IF_ERROR(reader.Integer("rank", 1, 64, personal.rank));
  RETURN_IF_ERROR(reader.Number("alpha", kAboveZero, 1000, personal.alpha));
  RETURN_IF_ERROR(reader.Text("data_tag", personal.data_tag));
  RETURN_IF_ERROR(reader.Number("epochs", kAboveZero, 1000, personal.epochs));
  RETURN_IF_ERROR(reader.Number("learning_rate", kAboveZero, 1, personal.learning_rate));
  RETURN_IF_ERROR(reader.Integer("sequence_length", 8, 32'768, personal.sequence_length));
  RETURN_IF_ERROR(reader.Number("held_out_share", 0.01, 0.5, personal.held_out_share));
  RETURN_IF_ERROR(reader.RefuseOthers());
  return personal;
}

absl::Status ReadApi(const toml::table& table, ApiSettings& api) {
  TableReader reader(table, "api.");
  RETURN_IF_ERROR(reader.Text("listen", api.listen));
  if (!api.listen.empty()) {
    if (absl::Status status = ParseLoopbackAddress(api.listen).status(); !status.ok()) {
      return Wrong("api.listen", *table.get("listen"), "an address of this machine alone, as \"127.0.0.1:8080\"");
    }
  }
  RETURN_IF_ERROR(reader.Flag("keep_feedback", api.keep_feedback));
  RETURN_IF_ERROR(reader.Text("feedback_tag", api.feedback_tag));
  if (api.feedback_tag.empty() || api.feedback_tag.size() > kMaxExampleTagBytes) {
    return Wrong("api.feedback_tag", *table.get("feedback_tag"), fmt::format("1 to {} characters", kMaxExampleTagBytes));
  }
  RETURN_IF_ERROR(reader.Text("preference_tag", api.preference_tag));
  if (api.preference_tag.size() > kMaxExampleTagBytes) {
    return Wrong("api.preference_tag", *table.get("preference_tag"), fmt::format("at most {} characters", kMaxExampleTagBytes));
  }
  RETURN_IF_ERROR(reader.Integer("prompt_cache_megabytes", 0, 100'000, api.prompt_cache_megabytes));
  RETURN_IF_ERROR(reader.Integer("prompt_cache_disk_megabytes", 0, 100'000, api.prompt_cache_disk_megabytes));
  RETURN_IF_ERROR(reader.Flag("personal_by_default", api.personal_by_default));
  std::string cache_type = "f16";
  RETURN_IF_ERROR(reader.Text("cache_type", cache_type));
  if (cache_type != "f16" && cache_type != "q8_0") {
    return Wrong("api.cache_type", *table.get("cache_type"), "\"f16\" or \"q8_0\"");
  }
  api.cache_type = *TensorTypeFromName(cache_type);
  return reader.RefuseOthers();
}

}  // namespace

absl::StatusOr<ClientSettings> ParseSettings(std::string_view toml_text) {
  const toml::parse_result parsed = toml::parse(toml_text);
  if (!parsed) {
    return absl::InvalidArgumentError(fmt::format("client.toml, line {}: {}", parsed.error().source().begin.line,
                                                  std::string(parsed.error().description())));
  }
  ClientSettings settings;
  TableReader reader(parsed.table(), "");
  RETURN_IF_ERROR(reader.Text("profile", settings.profile));
  if (!settings.profile.empty()) {
    if (absl::Status status = FindDeviceProfile(settings.profile).status(); !status.ok()) {
      return Wrong("profile", *parsed.table().get("profile"),
                   "a known profile: " + std::string(status.message()));
    }
  }
  RETURN_IF_ERROR(reader.Integer("memory_megabytes", 16, 1'000'000, settings.memory_megabytes));
  RETURN_IF_ERROR(reader.Integer("threads", 0, 1024, settings.threads));
  RETURN_IF_ERROR(reader.Integer("answer_milliseconds", 0, kMaxTimeBudget.count(), settings.answer_milliseconds));
  RETURN_IF_ERROR(reader.Integer("checkpoint_steps", 0, 1'000'000, settings.checkpoint_steps));
  RETURN_IF_ERROR(reader.Integer("max_rank", 0, kMaxAdapterRank, settings.largest_rank));
  RETURN_IF_ERROR(reader.Texts("models", settings.models));
  RETURN_IF_ERROR(reader.Text("trainer", settings.trainer));
  RETURN_IF_ERROR(reader.Integer("trainer_niceness", 0, 19, settings.trainer_niceness));
  ASSIGN_OR_RETURN(const toml::table* governor, reader.Table("governor"));
  if (governor != nullptr) RETURN_IF_ERROR(ReadGovernor(*governor, settings.governor));
  ASSIGN_OR_RETURN(const toml::table* privacy, reader.Table("privacy"));
  if (privacy != nullptr) RETURN_IF_ERROR(ReadPrivacy(*privacy, settings.privacy));
  ASSIGN_OR_RETURN(const toml::table* personal, reader.Table("personal"));
  if (personal != nullptr) {
    ASSIGN_OR_RETURN(settings.personal, ReadPersonal(*personal));
  }
  ASSIGN_OR_RETURN(const toml::table* api, reader.Table("api"));
  if (api != nullptr) RETURN_IF_ERROR(ReadApi(*api, settings.api));
  RETURN_IF_ERROR(reader.RefuseOthers());
  return settings;
}

absl::StatusOr<ClientSettings> LoadSettings(const std::string& path) {
  absl::StatusOr<Bytes> bytes = ReadFile(path, kMaxSettingsBytes);
  if (absl::IsNotFound(bytes.status())) return ClientSettings{};
  RETURN_IF_ERROR(bytes.status());
  return ParseSettings(AsText(*bytes));
}

absl::StatusOr<DeviceBudget> BudgetOf(const ClientSettings& settings, const std::string& enrolled_profile) {
  std::string name = settings.profile.empty() ? enrolled_profile : settings.profile;
  if (name.empty()) name = "edge_server";
  ASSIGN_OR_RETURN(DeviceProfile profile, FindDeviceProfile(name));
  const uint64_t wanted =
      settings.memory_megabytes == 0 ? profile.memory_bytes : settings.memory_megabytes * kMegabyte;
  return DeviceBudget{
      .profile = name,
      .memory_bytes = std::min(wanted, profile.memory_bytes),
      .threads = settings.threads > 0 ? settings.threads : TrainingThreads(profile, std::thread::hardware_concurrency()),
      .answer_time = settings.answer_milliseconds > 0 ? std::chrono::milliseconds(settings.answer_milliseconds)
                                                      : profile.answer_time};
}

}  // namespace fleetune
