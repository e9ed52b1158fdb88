#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lora/adapter/adapter.h"
#include "lora/formats/adapter_file.h"

namespace fleetune {

// One tensor of a foreign adapter format, in f32, row-major: A is rank x in, B is out x rank.
struct LoraMatrix {
  std::string name;  // in the file, for messages
  uint32_t layer = 0;
  Projection projection = Projection::kQ;
  bool is_b = false;
  uint64_t rows = 0;
  uint64_t columns = 0;
  std::vector<float> values;  // rows * columns
};

// An adapter from its matrices, in any order. Every target must be there in every layer of the base.
// InvalidArgument naming the matrix that is missing, there twice, of another shape, or not finite.
absl::StatusOr<Adapter> AssembleAdapter(uint32_t rank, float alpha, std::vector<LoraMatrix> matrices,
                                        const BaseSizes& base);

// The inverse, without names: A and B of each module, in the order of the spec.
std::vector<LoraMatrix> SplitAdapter(const Adapter& adapter);

// The order of rows within a head of q and k. GGUF files of `llama` interleave the two halves that
// Hugging Face's models rotate: row i of the first half becomes 2 i, of the second 2 i + 1.
enum class HeadRows { kInterleave, kSeparate };

// Reorders the rows of B of q and k if base.permuted_qk; leaves all else alone.
// InvalidArgument if the rows do not divide into heads of even size.
absl::Status ReorderHeads(HeadRows order, const AdapterBase& base, LoraMatrix& matrix);

}  // namespace fleetune
