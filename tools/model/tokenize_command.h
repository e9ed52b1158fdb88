#pragma once

#include "CLI/CLI.hpp"

namespace fleetune {

// `tokenize --model F [--bos] [--special] [--decode]`: standard input to token ids, or ids to text.
// Adds the verb to `app`; when it is chosen, parsing runs it and sets `exit_code`, which must outlive the parsing.
void AddTokenizeCommand(CLI::App& app, int& exit_code);

}  // namespace fleetune
