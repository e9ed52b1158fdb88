#include "tools/model/engine_arguments.h"

#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune {

void AddEngineOptions(CLI::App& command, EngineArguments& arguments) {
  command.add_option("--threads", arguments.threads, "0: as many as there are processors")->capture_default_str();
  command.add_option("--isa", arguments.set, "scalar, avx2, avx512 or neon; by default the fastest that there is");
  command.add_option("--packed", arguments.folder, "Folder of the packed form; by default beside the model");
  command
      .add_option("--cache-type", arguments.cache_type,
                  "Of keys and values: f16, or q8_0, which takes half of the memory")
      ->capture_default_str()
      ->check(CLI::IsMember({"f16", "q8_0"}, CLI::ignore_case));
  command
      .add_option("--cache-megabytes", arguments.cache_megabytes,
                  "For keys and values of one answer, which bound its context; 0: as many as the model's context takes")
      ->capture_default_str();
}

absl::StatusOr<EngineOptions> ToOptions(const EngineArguments& arguments) {
  EngineOptions options = {.threads = arguments.threads, .packed_folder = arguments.folder};
  if (arguments.cache_megabytes > 0) options.cache_memory = uint64_t{arguments.cache_megabytes} * 1'000'000;
  options.cache_type = TensorTypeFromName(arguments.cache_type).value_or(TensorType::kF32);
  if (!arguments.set.empty()) {
    options.set = InstructionSetFromName(arguments.set);
    if (!options.set) {
      return absl::InvalidArgumentError(
          fmt::format("--isa: expected scalar, avx2, avx512 or neon, got {}", arguments.set));
    }
  }
  RETURN_IF_ERROR(Validate(options));
  return options;
}

}  // namespace fleetune
