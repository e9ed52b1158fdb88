#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace fleetune {

inline constexpr size_t kMaxJsonSchemaBytes = 64 * 1024;
inline constexpr uint32_t kMaxJsonSchemaDepth = 32;
inline constexpr uint32_t kMaxJsonItems = 100'000;

// What one value of an answer may be.
struct JsonValueSchema {
  bool object = false;
  bool array = false;
  bool string = false;
  bool number = false;
  bool integer = false;               // numbers without fraction and exponent
  std::vector<std::string> literals;  // as they are written: "true", "\"red\"", "2"

  struct Property {
    std::string key;  // as written between quotes
    bool required = false;
    std::shared_ptr<const JsonValueSchema> value;
  };
  // Of an object: these, in this order, those that are not required maybe left out. Without any: whatever keys, with values of
  // `other` (null: like this one), or no key at all if `closed`.
  std::vector<Property> properties;
  std::shared_ptr<const JsonValueSchema> other;
  bool closed = false;

  std::shared_ptr<const JsonValueSchema> items;  // of an array; null: like this one
  uint32_t min_items = 0;
  uint32_t max_items = kMaxJsonItems;
};

// Any value; nested values any, too.
std::shared_ptr<const JsonValueSchema> AnyJsonValue();
// Any object.
std::shared_ptr<const JsonValueSchema> AnyJsonObject();

// Reads a JSON Schema (2020-12) of a subset, whose values an answer can be kept to byte by byte:
//   type          one of the seven names, or a list of them
//   properties, required, additionalProperties
//   items, minItems, maxItems
//   enum, const   of strings, numbers, true, false and null
//   title, description, $schema, default, examples, which ask for nothing
// The answer writes an object's properties in the schema's order and, where it names any, no others.
// InvalidArgument naming the place ("properties.age.minimum") and the keyword that is unknown or malformed, or what can
// never be fulfilled; ResourceExhausted over a limit.
absl::StatusOr<std::shared_ptr<const JsonValueSchema>> ParseJsonSchema(std::string_view json);

}  // namespace fleetune
