#include "inference/runtime/engine.h"

#include <unistd.h>

#include <algorithm>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/kernels/workers.h"

namespace fleetune {
namespace {

uint64_t HalfOfFreeMemory() {
  const long pages = sysconf(_SC_AVPHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page_bytes <= 0) return 0;
  return static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes) / 2;
}

}  // namespace

absl::Status Validate(const EngineOptions& options) {
  if (options.threads > Workers::kMaxThreads) {
    return absl::InvalidArgumentError(
        fmt::format("threads is {}; expected 0 to {}", options.threads, Workers::kMaxThreads));
  }
  const std::vector<InstructionSet> usable = UsableInstructionSets();
  if (options.set && std::find(usable.begin(), usable.end(), *options.set) == usable.end()) {
    return absl::InvalidArgumentError(
        fmt::format("this machine cannot compute with {}", InstructionSetName(*options.set)));
  }
  if (options.cache_type != TensorType::kF16 && options.cache_type != TensorType::kQ8_0) {
    return absl::InvalidArgumentError(
        fmt::format("keys and values: expected f16 or q8_0, got {}", TensorTypeName(options.cache_type)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Model>> OpenModel(const std::string& path, const EngineOptions& options) {
  RETURN_IF_ERROR(Validate(options));
  ASSIGN_OR_RETURN(std::shared_ptr<const GgufFile> file, GgufFile::Open(path));
  ModelCompute compute;
  compute.cache_memory = options.cache_memory;
  if (options.exact) return Model::Load(std::move(file), std::move(compute));
  RETURN_IF_ERROR(ReadLlamaShape(*file).status());  // before time is spent on what is no model
  const PackedModelPlace place = {.folder = options.packed_folder,
                                  .memory_budget = options.packed_memory.value_or(HalfOfFreeMemory())};
  ASSIGN_OR_RETURN(compute.packed, FindOrPack(*file, place));
  compute.cache_type = options.cache_type;
  compute.set = options.set.value_or(UsableInstructionSets().back());
  const size_t threads = options.threads == 0 ? UsableProcessors() : options.threads;
  if (threads > 1) compute.workers = std::make_shared<Workers>(threads);
  return Model::Load(std::move(file), std::move(compute));
}

}  // namespace fleetune
