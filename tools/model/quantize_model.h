#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/gguf_writer.h"

namespace fleetune {

// What became of one tensor.
struct QuantizedTensor {
  std::string name;
  TensorType from = TensorType::kF32;
  TensorType to = TensorType::kF32;
  uint64_t bytes = 0;          // after
  double relative_error = 0;   // sqrt(sum (after - before)^2 / sum before^2)
};

// Adds all of `file` to `writer`, its matrices in `type`: metadata as it is but for general.file_type; tensors of one
// axis (norms, biases) F32; matrices whose rows do not divide into blocks of `type` F16.
// InvalidArgument naming a tensor whose type cannot be computed with, or that holds a value that is not finite.
absl::StatusOr<std::vector<QuantizedTensor>> QuantizeModel(const GgufFile& file, TensorType type, GgufWriter& writer);

}  // namespace fleetune
