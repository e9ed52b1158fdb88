#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "lora/plan/task_fit.h"

namespace fleetune {

// What a GGUF file's shape says of the cost of training over it. Errors of GgufFile::Open and ReadLlamaShape.
absl::StatusOr<ModelFootprint> ReadFootprint(const std::string& model_path);

}  // namespace fleetune
