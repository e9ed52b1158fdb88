#pragma once

#include "CLI/CLI.hpp"

namespace fleetune {

// `perplexity --model F [--adapter A] --tokens IDS.json | --text T...`: how well the model foresees a text.
// Adds the verb to `app`; when it is chosen, parsing runs it and sets `exit_code`, which must outlive the parsing.
void AddPerplexityCommand(CLI::App& app, int& exit_code);

}  // namespace fleetune
