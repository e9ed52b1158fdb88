#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lora/adapter/adapter.h"
#include "lora/formats/lora_pair.h"

namespace fleetune {

// Adapters on disk, in three formats.
enum class AdapterFormat {
  kFleetune,  // one file "*.fta": docs/formats/adapter_file.md
  kPeft,      // a folder with adapter_config.json and adapter_model.safetensors
  kGguf,      // one GGUF file with general.type = "adapter", adapter.type = "lora"
};
std::optional<AdapterFormat> AdapterFormatFromName(std::string_view name);  // "fleetune", "peft", "gguf"

// What a format needs to know of the base model besides sizes.
struct AdapterBase {
  BaseSizes sizes;
  std::string architecture;  // "llama", "qwen2"
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  // GGUF files of `llama` hold the rows of q and k permuted per head against Hugging Face's (PEFT's) order:
  // B of q and k is permuted on the way in and back on the way out.
  bool permuted_qk = false;
};

// Loads an adapter, its format recognised from what lies at `path`.
// NotFound; InvalidArgument (not an adapter, another rank or shape than the base allows, a key or module that would be
// ignored, by name); DataLoss (cut off, hash differs); ResourceExhausted (over a limit).
absl::StatusOr<Adapter> LoadAdapter(const std::string& path, const AdapterBase& base);

// The same module by module, as the file has them: what can be merged into the base.
absl::StatusOr<std::vector<LoraPair>> LoadAdapterPairs(const std::string& path, const AdapterBase& base);

// InvalidArgument if files of this format cannot hold an adapter of this spec: GGUF no DoRA. For whoever would learn it too
// late from SaveAdapter.
absl::Status CheckFormatHolds(AdapterFormat format, const AdapterSpec& spec);

// Writes atomically (PEFT: each of its two files). `base_name` is written where the format names its base.
// InvalidArgument as CheckFormatHolds; PEFT: errors of WritePeftAdapter.
absl::Status SaveAdapter(const std::string& path, AdapterFormat format, const Adapter& adapter,
                         const AdapterBase& base, const std::string& base_name);

}  // namespace fleetune
