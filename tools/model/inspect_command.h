#pragma once

#include "CLI/CLI.hpp"

namespace fleetune {

// `inspect FILE [--json]`: what a GGUF file holds: metadata, model shape, tensors, SHA-256.
// Adds the verb to `app`; when it is chosen, parsing runs it and sets `exit_code`, which must outlive the parsing.
void AddInspectCommand(CLI::App& app, int& exit_code);

}  // namespace fleetune
