#include "client/app/answering_engine.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace fleetune {

uint64_t ModelFileBytes(const std::string& model_path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(model_path, error);
  return error ? 0 : size;
}

EngineOptions AnsweringEngine(const AnsweringMemory& memory, TensorType cache_type) {
  EngineOptions engine = {.cache_type = cache_type};
  if (memory.budget == 0) return engine;
  const uint64_t taken = memory.model + memory.prompt_cache;
  const uint64_t left = memory.budget > taken ? memory.budget - taken : 0;
  engine.cache_memory = std::max(left, memory.budget / 16) / memory.answers;
  return engine;
}

}  // namespace fleetune
