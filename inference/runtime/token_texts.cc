#include "inference/runtime/token_texts.h"

#include <algorithm>

namespace fleetune {

TokenTexts::TokenTexts(const Tokenizer& tokenizer) : texts_(static_cast<size_t>(tokenizer.vocabulary_size())) {
  for (size_t i = 0; i < texts_.size(); ++i) {
    const auto token = static_cast<int32_t>(i);
    if (tokenizer.IsEndOfText(token)) continue;
    texts_[i].bytes = tokenizer.Decode({&token, 1}, /*strip_leading_space=*/false).value_or("");
    texts_[i].is_plain = std::none_of(texts_[i].bytes.begin(), texts_[i].bytes.end(), [](char byte) {
      return byte == '"' || byte == '\\' || static_cast<uint8_t>(byte) < 0x20;
    });
  }
}

}  // namespace fleetune
