#pragma once

#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "inference/runtime/engine.h"

namespace fleetune {

// How a model is computed with, as verbs ask for it.
struct EngineArguments {
  uint32_t threads = 0;
  std::string set;     // empty: the fastest
  std::string cache_type = "f16";
  uint32_t cache_megabytes = 0;  // of one answer; 0: as many as the model's context takes
  std::string folder;  // of the packed form; empty: beside the model
};

// --threads, --isa, --packed, --cache-type, --cache-megabytes
void AddEngineOptions(CLI::App& command, EngineArguments& arguments);

// InvalidArgument for an instruction set of no known name; errors of Validate.
absl::StatusOr<EngineOptions> ToOptions(const EngineArguments& arguments);

}  // namespace fleetune
