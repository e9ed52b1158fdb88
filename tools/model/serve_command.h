#pragma once

#include "CLI/CLI.hpp"

namespace fleetune {

// `serve --model F [--adapter [NAME=]A ...] --listen 127.0.0.1:PORT --token-file F [--prompt-cache D]`: an OpenAI-compatible
// API, until a signal.
// Adds the verb to `app`; when it is chosen, parsing runs it and sets `exit_code`, which must outlive the parsing.
void AddServeCommand(CLI::App& app, int& exit_code);

}  // namespace fleetune
