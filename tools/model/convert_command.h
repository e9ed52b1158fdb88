#pragma once

#include "CLI/CLI.hpp"

namespace fleetune {

// `convert --model BASE.gguf IN OUT --format fleetune|peft|gguf`: an adapter in another format.
// Adds the verb to `app`; when it is chosen, parsing runs it and sets `exit_code`, which must outlive the parsing.
void AddConvertCommand(CLI::App& app, int& exit_code);

}  // namespace fleetune
