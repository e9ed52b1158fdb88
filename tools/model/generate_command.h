#pragma once

#include "CLI/CLI.hpp"

namespace fleetune {

// `generate --model F [--adapter A] ... PROMPT`: streams an answer to standard output.
// Adds the verb to `app`; when it is chosen, parsing runs it and sets `exit_code`, which must outlive the parsing.
void AddGenerateCommand(CLI::App& app, int& exit_code);

}  // namespace fleetune
