#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace fleetune {

// An object of one of a model folder's JSON files, read key by key. Owns what it reads; immutable, so thread-safe. A
// key whose value is null counts as absent, as Hugging Face's libraries have it. Errors are InvalidArgument and name
// the file, the key, what was expected and what came.
class JsonObject {
 public:
  // InvalidArgument also for text that is no JSON object, or is nested deeper than kMaxJsonDepth.
  static absl::StatusOr<JsonObject> Parse(std::string_view text, std::string file);

  // Null if absent.
  const nlohmann::json* Find(std::string_view key) const;
  // Whether the key is written, be it with null.
  bool Has(std::string_view key) const { return object_->contains(key); }
  // An object within, empty if absent; its keys are named with `key` before them.
  absl::StatusOr<JsonObject> Object(std::string_view key) const;

  absl::StatusOr<uint32_t> Count(std::string_view key, uint32_t max) const;  // 1 to max
  absl::StatusOr<uint32_t> CountOr(std::string_view key, uint32_t max, uint32_t otherwise) const;
  absl::StatusOr<double> NumberOr(std::string_view key, double otherwise) const;
  absl::StatusOr<bool> FlagOr(std::string_view key, bool otherwise) const;
  absl::StatusOr<std::optional<bool>> OptionalFlag(std::string_view key) const;
  absl::StatusOr<std::optional<std::string>> OptionalText(std::string_view key) const;
  absl::StatusOr<std::string> TextOr(std::string_view key, std::string otherwise) const;

  // "config.json: hidden_act: expected "silu", got "gelu"".
  absl::Status Unexpected(std::string_view key, std::string_view expected) const;

 private:
  JsonObject(std::shared_ptr<const nlohmann::json> object, std::string file, std::string prefix)
      : object_(std::move(object)), file_(std::move(file)), prefix_(std::move(prefix)) {}

  std::shared_ptr<const nlohmann::json> object_;  // shares the whole file with objects within
  std::string file_;
  std::string prefix_;  // of keys, in messages
};

inline constexpr int kMaxJsonDepth = 32;

// A value as a message shows it: one line, of at most 80 characters.
std::string Shown(const nlohmann::json& value);

}  // namespace fleetune
