#include "lora/formats/module_pattern.h"

#include <utility>

#include "base/check.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace fleetune {
namespace {

struct Free {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

PCRE2_SPTR CodeUnits(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

// For a message: a pattern may hold anything.
std::string Shown(std::string_view expression) {
  std::string text = "\"";
  for (const char c : expression.substr(0, 100)) text += c >= 0x20 && c < 0x7f ? c : '?';
  return text + '"';
}

}  // namespace

struct ModulePattern::Compiled {
  std::unique_ptr<pcre2_code, Free> code;
  std::unique_ptr<pcre2_match_context, Free> limits;
};

void ModulePattern::FreeCompiled::operator()(Compiled* compiled) const { delete compiled; }

ModulePattern::ModulePattern(std::string expression, std::unique_ptr<Compiled, FreeCompiled> compiled)
    : expression_(std::move(expression)), compiled_(std::move(compiled)) {}

absl::StatusOr<ModulePattern> ModulePattern::Compile(std::string_view expression) {
  if (expression.size() > kMaxModulePatternBytes) {
    return absl::InvalidArgumentError("the pattern " + Shown(expression) + " has more than " +
                                      std::to_string(kMaxModulePatternBytes) + " bytes");
  }
  int error = 0;
  PCRE2_SIZE at = 0;
  std::unique_ptr<Compiled, FreeCompiled> compiled(new Compiled);
  compiled->code.reset(pcre2_compile(CodeUnits(expression), expression.size(), PCRE2_ANCHORED | PCRE2_ENDANCHORED,
                                     &error, &at, nullptr));
  if (compiled->code == nullptr) {
    PCRE2_UCHAR text[128] = {};
    (void)pcre2_get_error_message(error, text, sizeof(text));
    return absl::InvalidArgumentError("the pattern " + Shown(expression) + " is no regular expression: " +
                                      reinterpret_cast<const char*>(text) + " at character " + std::to_string(at));
  }
  compiled->limits.reset(pcre2_match_context_create(nullptr));
  CHECK(compiled->limits != nullptr);
  CHECK(pcre2_set_match_limit(compiled->limits.get(), kMaxModulePatternSteps) == 0);
  return ModulePattern(std::string(expression), std::move(compiled));
}

absl::StatusOr<bool> ModulePattern::Matches(std::string_view name) const {
  const std::unique_ptr<pcre2_match_data, Free> data(pcre2_match_data_create(1, nullptr));
  CHECK(data != nullptr);
  const int result =
      pcre2_match(compiled_->code.get(), CodeUnits(name), name.size(), 0, 0, data.get(), compiled_->limits.get());
  if (result >= 0) return true;  // 0: more groups than `data` has room for
  if (result == PCRE2_ERROR_NOMATCH) return false;
  return absl::InvalidArgumentError("the pattern " + Shown(expression_) + " is too costly to match");
}

}  // namespace fleetune
