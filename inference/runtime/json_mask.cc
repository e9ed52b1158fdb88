#include "inference/runtime/json_mask.h"

#include <algorithm>

#include "base/check.h"

namespace fleetune {

JsonMask::JsonMask(std::shared_ptr<const JsonValueSchema> schema, const Tokenizer& tokenizer)
    : automaton_(std::move(schema)), texts_(static_cast<size_t>(tokenizer.vocabulary_size())) {
  for (size_t i = 0; i < texts_.size(); ++i) {
    const auto token = static_cast<int32_t>(i);
    if (tokenizer.IsEndOfText(token)) continue;
    texts_[i].bytes = tokenizer.Decode({&token, 1}, /*strip_leading_space=*/false).value_or("");
    texts_[i].is_plain = std::none_of(texts_[i].bytes.begin(), texts_[i].bytes.end(), [](char byte) {
      return byte == '"' || byte == '\\' || static_cast<uint8_t>(byte) < 0x20;
    });
  }
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
  const TokenText& text = texts_[static_cast<size_t>(token)];
  if (text.bytes.empty() || !first_bytes_[static_cast<uint8_t>(text.bytes[0])]) return false;
  if (text.is_plain && automaton_.in_string()) return true;
  JsonAutomaton trial = automaton_;
  return trial.Push(text.bytes);
}

void JsonMask::Accept(int32_t token) {
  CHECK(automaton_.Push(texts_[static_cast<size_t>(token)].bytes));
  FindFirstBytes();
}

}  // namespace fleetune
