#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"

namespace fleetune {

// What a command that writes a model anew is asked.
struct RewriteArguments {
  std::string type;                // of the matrices; TensorTypeFromName reads it
  std::vector<std::string> texts;  // paths of what is scored, before and after
  uint32_t window = 256;           // tokens, of which the second half is scored
};

// --type, one of those that models are written in.
CLI::Option* AddTypeOption(CLI::App& command, RewriteArguments& arguments, const std::string& description);
// --text and --window.
void AddTextOptions(CLI::App& command, RewriteArguments& arguments);

}  // namespace fleetune
