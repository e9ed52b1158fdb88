#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/gguf/gguf_file.h"

namespace fleetune {

// Changes one row of a tensor, in place.
using RowChange = std::function<absl::Status(uint64_t row, std::span<float> values)>;

struct RewriteOptions {
  // Of the matrices; those whose rows do not divide into its blocks become F16 (for Q4_K Q5_0 and for Q6_K Q8_0 where these fit), and tensors of one axis (norms,
  // biases) F32. None: each tensor keeps its own.
  std::optional<TensorType> type;
  std::map<std::string, RowChange> changes;  // by tensor; what has no such name keeps its values
};

// What became of one tensor.
struct RewrittenTensor {
  std::string name;
  TensorType from = TensorType::kF32;
  TensorType to = TensorType::kF32;
  bool changed = false;
  uint64_t bytes = 0;         // after
  double relative_error = 0;  // of the rounding to `to`: sqrt(sum (after - before)^2 / sum before^2), before: as changed
};

// Writes all of `file` to `path`, atomically: metadata as it is but for general.file_type, which follows options.type;
// tensors that keep type and values byte for byte. Holds some rows at a time, and lets go of the pages of `file`.
// InvalidArgument naming a tensor that holds a value that is not finite; errors of the changes, and of the file system.
absl::StatusOr<std::vector<RewrittenTensor>> RewriteModel(const GgufFile& file, const RewriteOptions& options,
                                                          const std::string& path);

}  // namespace fleetune
