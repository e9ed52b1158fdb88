#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "inference/runtime/json_automaton.h"
#include "inference/tokenizer/tokenizer.h"

namespace fleetune {

// Which tokens may come next in an answer that is a JSON value. Tokens without text, control tokens among them, never may.
// Not thread-safe.
class JsonMask {
 public:
  // Reads the text of the whole vocabulary, once an answer.
  JsonMask(std::shared_ptr<const JsonValueSchema> schema, const Tokenizer& tokenizer);

  bool Allows(int32_t token) const;
  // Requires that it is allowed; checked.
  void Accept(int32_t token);
  bool complete() const { return automaton_.complete(); }

 private:
  struct TokenText {
    std::string bytes;
    bool is_plain = false;  // neither quote nor backslash nor control character
  };
  void FindFirstBytes();

  JsonAutomaton automaton_;
  std::vector<TokenText> texts_;
  std::array<bool, 256> first_bytes_{};  // most tokens fail by them already
};

}  // namespace fleetune
