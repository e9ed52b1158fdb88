#pragma once

#include <cstdint>
#include <string>

#include "inference/gguf/gguf_file.h"
#include "inference/runtime/engine.h"

namespace fleetune {

// How a device answers with its memory. In bytes.
struct AnsweringMemory {
  uint64_t budget = 0;        // of the device's profile, or what its owner says; 0: no limit
  uint64_t model = 0;         // the weights
  uint64_t prompt_cache = 0;  // prompts that are kept
  uint32_t answers = 1;       // that are made at a time, at least 1
};

// Of a model's file; 0 if there is none.
uint64_t ModelFileBytes(const std::string& model_path);

// An engine whose answers have an equal part each of what the budget leaves for their keys and values, or of a
// sixteenth of the budget if that is more, since weights are mapped from a file and may be read again. Pure.
EngineOptions AnsweringEngine(const AnsweringMemory& memory, TensorType cache_type);

}  // namespace fleetune
