#pragma once

#include "CLI/CLI.hpp"

namespace fleetune {

// `quantize IN OUT --type T`: a model, from a GGUF file or a Hugging Face folder, with its matrices in another tensor
// type. Adds the verb to `app`; when it is chosen, parsing runs it and sets `exit_code`, which must outlive the
// parsing.
void AddQuantizeCommand(CLI::App& app, int& exit_code);

}  // namespace fleetune
