#include "inference/huggingface/text_pipeline.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/tokenizer/pre_tokenizer.h"

namespace fleetune {
namespace {

using nlohmann::json;

constexpr std::string_view kSpace = "\xe2\x96\x81";  // U+2581
constexpr size_t kMaxSteps = 100;

absl::Status Refused(std::string_view key, const json& step, std::string_view expected) {
  return absl::InvalidArgumentError(fmt::format("tokenizer.json: {}: expected {}, got {}", key, expected, Shown(step)));
}

bool IsOfType(const json& step, std::string_view type) {
  return step.is_object() && step.contains("type") && step["type"] == type;
}

// The steps of a normalizer or pre-tokenizer, with sequences taken apart.
absl::StatusOr<std::vector<json>> StepsOf(const JsonObject& tokenizer, std::string_view key,
                                          std::string_view list_key) {
  const json* value = tokenizer.Find(key);
  if (value == nullptr) return std::vector<json>();
  if (!IsOfType(*value, "Sequence")) return std::vector<json>{*value};
  const auto list = value->find(list_key);
  if (list == value->end() || !list->is_array() || list->size() > kMaxSteps) {
    return Refused(key, *value, fmt::format("a sequence with {}", list_key));
  }
  return list->get_ref<const json::array_t&>();
}

// `key` of a step, or `otherwise` where it is absent.
json ValueOr(const json& step, const char* key, json otherwise) {
  const auto at = step.find(key);
  return at == step.end() ? std::move(otherwise) : *at;
}

// The expression at whose matches a step of a byte-level pre-tokenizer cuts; empty if it cuts nowhere.
absl::StatusOr<std::string> PatternOf(const json& step) {
  if (IsOfType(step, "Split") && ValueOr(step, "behavior", nullptr) == "Isolated" &&
      ValueOr(step, "invert", false) == false) {
    const json pattern = ValueOr(step, "pattern", nullptr);
    if (pattern.is_object() && pattern.contains("Regex") && pattern["Regex"].is_string()) {
      return pattern["Regex"].get<std::string>();
    }
  }
  if (IsOfType(step, "Digits")) return ValueOr(step, "individual_digits", false) == true ? R"(\p{N})" : R"(\p{N}+)";
  if (IsOfType(step, "ByteLevel") && ValueOr(step, "add_prefix_space", true) == false) {
    return ValueOr(step, "use_regex", true) == true ? std::string(PreTokenizer::kGpt2Pattern) : "";
  }
  return Refused("pre_tokenizer", step,
                 "a Split by a Regex that isolates, Digits, or ByteLevel without add_prefix_space");
}

absl::StatusOr<TextPipeline> ReadByteLevel(const JsonObject& tokenizer, std::span<const json> normalizers,
                                           std::span<const json> steps) {
  for (const json& step : normalizers) {
    if (!IsOfType(step, "NFC")) return Refused("normalizer", step, "none, or NFC");
  }
  std::vector<std::string> patterns;
  for (const json& step : steps) {
    ASSIGN_OR_RETURN(std::string pattern, PatternOf(step));
    if (!pattern.empty()) patterns.push_back(std::move(pattern));
    if (IsOfType(step, "ByteLevel") && &step != &steps.back()) {
      return Refused("pre_tokenizer", step, "ByteLevel as the last step");
    }
  }
  ASSIGN_OR_RETURN(const JsonObject model, tokenizer.Object("model"));
  ASSIGN_OR_RETURN(const bool keeps_whole_tokens, model.FlagOr("ignore_merges", false));
  const std::optional<std::string_view> name = PreTokenizer::NameOf(patterns, keeps_whole_tokens);
  if (!name) {
    return Refused("pre_tokenizer", json(patterns),
                   fmt::format("the expressions of a known model, with ignore_merges as it has it"));
  }
  return TextPipeline{.is_byte_level = true, .pre_tokenizer = std::string(*name)};
}

// Metaspace, as it is written since 2024 and before.
absl::StatusOr<bool> MetaspaceAddsSpace(const json& step) {
  const json scheme = ValueOr(step, "prepend_scheme", nullptr);
  const bool is_fitting = IsOfType(step, "Metaspace") && ValueOr(step, "replacement", nullptr) == kSpace &&
                          ValueOr(step, "split", true) == false;
  if (is_fitting && (scheme == "always" || scheme == "first")) return true;
  if (is_fitting && scheme == "never") return false;
  return Refused("pre_tokenizer", step, "none, or a Metaspace of U+2581 that does not split");
}

absl::StatusOr<TextPipeline> ReadSentencePiece(std::span<const json> normalizers, std::span<const json> steps) {
  TextPipeline pipeline;
  bool replaces = false;
  for (const json& step : normalizers) {
    if (step == json{{"type", "Prepend"}, {"prepend", kSpace}}) {
      pipeline.adds_space = true;
    } else if (step == json{{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}}) {
      replaces = true;
    } else {
      return Refused("normalizer", step, "a Prepend of U+2581 and a Replace of spaces by it");
    }
  }
  for (const json& step : steps) {
    ASSIGN_OR_RETURN(const bool adds_space, MetaspaceAddsSpace(step));
    pipeline.adds_space |= adds_space;
    replaces = true;
  }
  if (replaces) return pipeline;
  return absl::InvalidArgumentError(
      "tokenizer.json: expected a ByteLevel pre-tokenizer, or spaces that become U+2581; got neither");
}

}  // namespace

absl::StatusOr<TextPipeline> ReadTextPipeline(const JsonObject& tokenizer) {
  ASSIGN_OR_RETURN(const std::vector<json> normalizers, StepsOf(tokenizer, "normalizer", "normalizers"));
  ASSIGN_OR_RETURN(const std::vector<json> steps, StepsOf(tokenizer, "pre_tokenizer", "pretokenizers"));
  const bool is_byte_level = std::ranges::any_of(steps, [](const json& step) { return IsOfType(step, "ByteLevel"); });
  if (is_byte_level) return ReadByteLevel(tokenizer, normalizers, steps);
  return ReadSentencePiece(normalizers, steps);
}

}  // namespace fleetune
