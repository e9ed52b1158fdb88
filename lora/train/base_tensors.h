#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "inference/gguf/gguf_file.h"
#include "lora/adapter/adapter_spec.h"

namespace fleetune {

// Tensors of a base model by name; InvalidArgument naming one that the file lacks. Borrowed from the file.
absl::StatusOr<const GgufTensor*> BaseTensor(const GgufFile& file, const std::string& name);

// The weight or, with "bias", the bias of one projection.
absl::StatusOr<const GgufTensor*> BaseTensor(const GgufFile& file, uint32_t layer, Projection projection,
                                             const char* suffix = "weight");

}  // namespace fleetune
