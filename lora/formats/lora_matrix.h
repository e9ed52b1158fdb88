#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lora/adapter/adapter_spec.h"
#include "lora/formats/adapter_file.h"
#include "lora/formats/lora_pair.h"

namespace fleetune {

// What one tensor of a foreign adapter format is to its module.
enum class LoraPart : uint8_t { kA, kB, kMagnitude };

// Such a tensor, in f32, row-major: A is rank x in, B is out x rank, a magnitude (DoRA's) out x 1.
struct LoraMatrix {
  std::string name;  // in the file, for messages
  uint32_t layer = 0;
  Projection projection = Projection::kQ;
  LoraPart part = LoraPart::kA;
  uint64_t rows = 0;
  uint64_t columns = 0;
  std::vector<float> values;  // rows * columns
};

// The modules that these matrices make, by layer and projection; alpha is left at 0.
// InvalidArgument naming the matrix that is missing beside another, there twice, in a layer that the base does not
// have, or of another shape; or whose rank is over kMaxAdapterRank.
absl::StatusOr<std::vector<LoraPair>> PairMatrices(std::vector<LoraMatrix> matrices, const BaseSizes& base);

// The inverse, without names: A, B and, of DoRA, the magnitude of each module. Requires sizes that fit; checked.
std::vector<LoraMatrix> SplitPairs(std::vector<LoraPair> pairs, const BaseSizes& base);

// The order of rows within a head of q and k. GGUF files of `llama` interleave the two halves that
// Hugging Face's models rotate: row i of the first half becomes 2 i, of the second 2 i + 1.
enum class HeadRows { kInterleave, kSeparate };

// Reorders the rows of B and magnitude of q and k if base.permuted_qk; leaves all else alone.
// InvalidArgument if the rows do not divide into heads of even size.
absl::Status ReorderHeads(HeadRows order, const AdapterBase& base, LoraMatrix& matrix);

}  // namespace fleetune
