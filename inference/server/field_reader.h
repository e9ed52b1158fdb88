#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace fleetune {

using ApiJson = nlohmann::ordered_json;

// Reads the fields of one JSON object of a request, each at most once, and refuses what is left. A null counts as absent, as
// clients write it. Each returns WrongField for a value of another type or out of range, and leaves `value` alone where the
// field is absent. Not thread-safe.
class FieldReader {
 public:
  // `object` is borrowed; `prefix` comes before names in messages ("messages[2].").
  FieldReader(const ApiJson& object, std::string prefix) : object_(object), prefix_(std::move(prefix)) {}

  absl::Status Text(std::string_view name, std::string& value);
  absl::Status Flag(std::string_view name, bool& value);
  absl::Status Integer(std::string_view name, uint64_t least, uint64_t most, std::optional<uint64_t>& value);
  absl::Status Number(std::string_view name, double least, double most, float& value);

  // Null if absent.
  const ApiJson* Take(std::string_view name);
  // A field that has to be absent or say what we do anyway; else refused by name.
  absl::Status OnlyAs(std::string_view name, const ApiJson& harmless);
  absl::Status RefuseOthers() const;

  std::string Name(std::string_view name) const { return prefix_ + std::string(name); }

 private:
  const ApiJson& object_;
  const std::string prefix_;
  std::vector<std::string_view> taken_;
};

}  // namespace fleetune
