#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "inference/kernels/instruction_set.h"
#include "inference/model/model.h"

namespace fleetune {

// How a model is computed with on this machine.
struct EngineOptions {
  bool exact = false;                       // f32 over the file's rows (ModelCompute); slow
  uint32_t threads = 0;                     // 0: as many as this process has processors; at most 256
  std::optional<InstructionSet> set = {};   // none: the fastest that there is
  std::string packed_folder = {};           // of the packed form (inference/packed); empty: beside the model
  // Of keys and values, unless exact: kF16 or kQ8_0, which takes half of the memory.
  TensorType cache_type = TensorType::kF16;
  // Bytes for keys and values of one answer, which bound its context; none: what the model's context takes.
  std::optional<uint64_t> cache_memory = {};
  // Of a packed form in memory, where no file can be written. None: half of the memory that is free.
  std::optional<uint64_t> packed_memory = {};
};
// InvalidArgument for a number of threads out of range a set that this machine lacks, or another cache type.
absl::Status Validate(const EngineOptions& options);

// Opens the GGUF file and packs it, or finds it packed. If it can be packed nowhere, it is computed with exactly. Errors of
// Validate, GgufFile::Open and Model::Load.
absl::StatusOr<std::shared_ptr<const Model>> OpenModel(const std::string& path, const EngineOptions& options);

}  // namespace fleetune
