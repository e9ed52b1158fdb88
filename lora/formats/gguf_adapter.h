#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "inference/gguf/gguf_file.h"
#include "lora/adapter/adapter.h"
#include "lora/formats/adapter_file.h"
#include "lora/formats/lora_pair.h"

namespace fleetune {

// GGUF adapters as llama.cpp loads them: general.type = "adapter", adapter.type = "lora", adapter.lora.alpha, and
// tensors blk.N.<part>.weight.lora_a (ne = [in, rank]) and .lora_b (ne = [rank, out]). Rows of q and k are in the
// order of the GGUF base, so nothing is permuted. The scale of a module is alpha / its own rank.

// The tensor of the base that a module changes: "blk.0.attn_q.weight".
std::string ProjectionTensorName(uint32_t layer, Projection projection);

// InvalidArgument naming the key or tensor that is missing, of another kind, for another architecture, or
// would be ignored; or a projection that is not there in every layer. Errors of PairMatrices.
absl::StatusOr<std::vector<LoraPair>> ReadGgufAdapter(const GgufFile& file, const AdapterBase& base);

// Requires an adapter without magnitudes, for which the format has no place; checked.
Bytes WriteGgufAdapter(const Adapter& adapter, const AdapterBase& base, std::string_view base_name);

}  // namespace fleetune
