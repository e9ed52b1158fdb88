#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "inference/server/api_request.h"
#include "inference/tokenizer/chat_template.h"
#include "inference/tokenizer/tokenizer.h"

namespace fleetune {

// A chat as the model reads it, up to where the assistant's answer begins. Control tokens come of the template alone.
std::vector<int32_t> ChatTokens(const Tokenizer& tokenizer, ChatFamily family, const ApiMessages& messages);

// How many of the first of `tokens`, which are ChatTokens of these messages, come of the system messages that they begin with: the
// same whatever is said after them. 0 if they begin with none.
size_t SystemTokens(const Tokenizer& tokenizer, ChatFamily family, const ApiMessages& messages,
                    const std::vector<int32_t>& tokens);

// The text that ends an assistant's turn: a control token of the family's models, which ends the answer anyway, but plain text
// with a vocabulary that lacks it.
std::string EndOfAnswer(ChatFamily family);

}  // namespace fleetune
