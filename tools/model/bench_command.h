#pragma once

#include "CLI/CLI.hpp"

namespace fleetune {

// fleetune-model bench: how fast a model reads a prompt and answers, beside what the machine could do.
void AddBenchCommand(CLI::App& app, int& exit_code);

}  // namespace fleetune
