#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "inference/model/model.h"
#include "inference/runtime/generator.h"
#include "lora/formats/adapter_file.h"

namespace fleetune {

// What adapter formats must know of a model.
AdapterBase AdapterBaseOf(const LlamaShape& shape);

// The adapters at `paths` over `model`, each on top of those before it, as one (lora/adapter/joined.h); null if there is
// none. Errors of LoadAdapter and Joined.
absl::StatusOr<std::shared_ptr<const Adapter>> OpenAdapters(const std::vector<std::string>& paths, const Model& model);

// Prints the error for people, on standard error; returns the program's exit code for it: 0 if OK, else 1.
int ReportStatus(const absl::Status& status);

}  // namespace fleetune
