#pragma once

#include "CLI/CLI.hpp"

namespace fleetune {

// `merge --model BASE.gguf --adapter A --out OUT.gguf [--type T] [--text FILE]`: a model with an adapter folded in.
// Adds the verb to `app`; when it is chosen, parsing runs it and sets `exit_code`, which must outlive the parsing.
void AddMergeCommand(CLI::App& app, int& exit_code);

}  // namespace fleetune
