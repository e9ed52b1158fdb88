#pragma once

#include "CLI/CLI.hpp"

namespace fleetune {

// `chat --model F [--adapter A] [--system TEXT]`: a conversation in the terminal, a line a turn, until the input ends.
// Adds the verb to `app`; when it is chosen, parsing runs it and sets `exit_code`, which must outlive the parsing.
void AddChatCommand(CLI::App& app, int& exit_code);

}  // namespace fleetune
