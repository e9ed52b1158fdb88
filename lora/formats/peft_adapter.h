#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "lora/adapter/adapter.h"
#include "lora/formats/adapter_file.h"
#include "lora/formats/lora_pair.h"

namespace fleetune {

// The two files of a PEFT adapter folder.
inline constexpr char kPeftConfigName[] = "adapter_config.json";
inline constexpr char kPeftTensorsName[] = "adapter_model.safetensors";

struct PeftFiles {
  std::string config;
  Bytes tensors;
};

// The modules of a PEFT adapter, in the base's order of rows, DoRA's with their magnitudes.
// Errors of ParsePeftConfig, ChoosePeftModules, SafetensorsFile::Parse and PairMatrices; InvalidArgument naming a
// tensor that is no part of a projection that we know, and where the configuration and the tensors differ.
absl::StatusOr<std::vector<LoraPair>> ReadPeftAdapter(std::string_view config, std::span<const uint8_t> tensors,
                                                      const AdapterBase& base);

// Modules of a DoRA adapter that have no magnitudes are excluded by their names, as PEFT has DoRA in all modules or in none.
// InvalidArgument if q and k must be permuted and do not divide into heads, or naming such a module that is not zero.
absl::StatusOr<PeftFiles> WritePeftAdapter(const Adapter& adapter, const AdapterBase& base,
                                           std::string_view base_name);

}  // namespace fleetune
