#pragma once

#include "CLI/CLI.hpp"

namespace fleetune {

// `pretrain`: a small model from a text, or one of random weights in the shape of a published model. Sets `exit_code`,
// which must outlive the parsing.
void AddPretrainCommand(CLI::App& app, int& exit_code);

}  // namespace fleetune
