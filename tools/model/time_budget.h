#pragma once

#include <chrono>

#include "CLI/CLI.hpp"
#include "inference/runtime/generator.h"

namespace fleetune {

// --time-budget-ms, up to an hour: an answer ends, as it is, with the first token past it: GenerateOptions::time_budget. Called as
// `fleetune-client generate` calls it. `budget` must outlive the parsing.
void AddTimeBudgetOption(CLI::App& command, std::chrono::milliseconds& budget);

// Says on standard error that it was the budget that ended the answer, if so.
void TellOfTimeBudget(const Generated& answer, std::chrono::milliseconds budget);

}  // namespace fleetune
