#pragma once

#include <array>
#include <memory>

#include "inference/runtime/json_automaton.h"
#include "inference/runtime/token_texts.h"

namespace fleetune {

// Which tokens may come next in an answer that is a JSON value. Tokens without text, control tokens among them, never may.
// Not thread-safe.
class JsonMask {
 public:
  // Borrows `texts`.
  JsonMask(std::shared_ptr<const JsonValueSchema> schema, const TokenTexts& texts);

  bool Allows(int32_t token) const;
  // Requires that it is allowed; checked.
  void Accept(int32_t token);
  bool complete() const { return automaton_.complete(); }

 private:
  void FindFirstBytes();

  JsonAutomaton automaton_;
  const TokenTexts& texts_;
  std::array<bool, 256> first_bytes_{};  // most tokens fail by them already
};

}  // namespace fleetune
