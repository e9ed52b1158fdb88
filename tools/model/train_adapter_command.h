#pragma once

#include "CLI/CLI.hpp"

namespace fleetune {

// `train`: a LoRA adapter over a model, from records on this machine, without any fleet. Sets `exit_code`, which must
// outlive the parsing.
void AddTrainAdapterCommand(CLI::App& app, int& exit_code);

}  // namespace fleetune
