#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "inference/model/model.h"
#include "inference/runtime/engine.h"
#include "inference/tokenizer/tokenizer.h"

namespace fleetune {

struct GenerateOptions {
  uint32_t max_tokens = 128;  // of the answer, 1 .. 32,768
  float temperature = 0.0f;   // 0: the likeliest token always; at most 10
  uint32_t top_k = 0;         // 0: all
  float top_p = 1.0f;         // (0, 1]
  uint64_t seed = 1;
  std::vector<std::string> stop = {};  // the answer ends before any of these
  bool parse_special = false;  // names of control tokens in the prompt become these tokens; only for trusted prompts
};
absl::Status Validate(const GenerateOptions& options);

enum class StopReason { kEndOfText, kStopString, kMaxTokens, kContextFull };
std::string_view StopReasonName(StopReason reason);  // "end_of_text", "stop_string", "max_tokens", "context_full"

struct Generated {
  std::string text;
  uint32_t prompt_tokens = 0;
  uint32_t answer_tokens = 0;
  StopReason reason = StopReason::kEndOfText;
};

// A model with its tokenizer, ready to answer. Immutable, so thread-safe; each call has its own state.
class Generator {
 public:
  // Errors of OpenModel and Tokenizer::FromGguf.
  static absl::StatusOr<std::unique_ptr<const Generator>> Open(const std::string& model_path,
                                                               const EngineOptions& options = {});

  // Continues `prompt`. `on_text` gets each piece as it is known, in whole UTF-8 characters; the pieces together are
  // Generated::text. `adapter` may be null: the base alone. InvalidArgument for options out of range or a prompt that
  // fills the context; Internal if the model gives no numbers.
  absl::StatusOr<Generated> Generate(std::string_view prompt, std::shared_ptr<const Adapter> adapter,
                                     const GenerateOptions& options,
                                     absl::FunctionRef<void(std::string_view)> on_text) const;

  const std::shared_ptr<const Model>& model() const { return model_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }

 private:
  Generator(std::shared_ptr<const Model> model, std::unique_ptr<const Tokenizer> tokenizer)
      : model_(std::move(model)), tokenizer_(std::move(tokenizer)) {}

  std::shared_ptr<const Model> model_;
  std::unique_ptr<const Tokenizer> tokenizer_;
};

}  // namespace fleetune
