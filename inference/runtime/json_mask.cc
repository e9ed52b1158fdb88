#include "inference/runtime/json_mask.h"

#include "base/check.h"

namespace fleetune {

JsonMask::JsonMask(std::shared_ptr<const JsonValueSchema> schema, const TokenTexts& texts)
    : automaton_(std::move(schema)), texts_(texts) {
  FindFirstBytes();
}

void JsonMask::FindFirstBytes() {
  for (size_t byte = 0; byte < first_bytes_.size(); ++byte) {
    const char text = static_cast<char>(byte);
    JsonAutomaton trial = automaton_;
    first_bytes_[byte] = trial.Push({&text, 1});
  }
}

bool JsonMask::Allows(int32_t token) const {
  const TokenTexts::Text& text = texts_.of(token);
  if (text.bytes.empty() || !first_bytes_[static_cast<uint8_t>(text.bytes[0])]) return false;
  if (text.is_plain && automaton_.in_string()) return true;
  JsonAutomaton trial = automaton_;
  return trial.Push(text.bytes);
}

void JsonMask::Accept(int32_t token) {
  CHECK(automaton_.Push(texts_.of(token).bytes));
  FindFirstBytes();
}

}  // namespace fleetune
