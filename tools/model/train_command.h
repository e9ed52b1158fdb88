#pragma once

#include "CLI/CLI.hpp"

namespace fleetune {

// `train` and `pretrain`: start the program fleetune-model-train that lies beside this one, with the same
// arguments. It alone links LibTorch, so that every other verb starts at once and stays small.
// Adds the verb to `app`; when it is chosen, parsing runs it and sets `exit_code`, which must outlive the parsing.
void AddTrainCommand(CLI::App& app, int& exit_code);

}  // namespace fleetune
