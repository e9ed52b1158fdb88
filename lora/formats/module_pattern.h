#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace fleetune {

inline constexpr uint64_t kMaxModulePatternBytes = 4096;
// Of one match: names have some 40 characters, and an honest pattern needs a few hundred steps for one.
inline constexpr uint32_t kMaxModulePatternSteps = 2000;

// A regular expression for names of modules, as configuration files hold them. They are written for Python's `re`;
// PCRE2 reads what the two have in common. Immutable, so thread-safe.
class ModulePattern {
 public:
  // InvalidArgument if it is no regular expression or has more than kMaxModulePatternBytes.
  static absl::StatusOr<ModulePattern> Compile(std::string_view expression);

  // Whether it matches the whole of `name`. InvalidArgument if that takes over kMaxModulePatternSteps.
  absl::StatusOr<bool> Matches(std::string_view name) const;

 private:
  struct Compiled;
  struct FreeCompiled {
    void operator()(Compiled* compiled) const;
  };
  ModulePattern(std::string expression, std::unique_ptr<Compiled, FreeCompiled> compiled);

  std::string expression_;
  std::unique_ptr<Compiled, FreeCompiled> compiled_;
};

}  // namespace fleetune
