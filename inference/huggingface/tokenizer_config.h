#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace fleetune {

// tokenizer_config.json of a model folder: what its tokens are for. All of it may be absent.
struct TokenizerConfig {
  std::optional<std::string> bos = {}, eos = {}, pad = {};  // texts of tokens
  std::optional<bool> adds_bos = {}, adds_eos = {};
  std::string chat_template = {};  // of several the one named "default"
};

// InvalidArgument for text that is no such file, by key.
absl::StatusOr<TokenizerConfig> ReadTokenizerConfig(std::string_view text);

}  // namespace fleetune
