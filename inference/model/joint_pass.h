#pragma once

#include <memory>
#include <span>

#include "absl/status/status.h"
#include "inference/model/model.h"

namespace fleetune {

class PackedPass;  // inference/model/packed_pass.h

// Tokens of a pass: the weights are read once for them, and their activations stay in the second cache.
inline constexpr size_t kPassTokens = 128;

// Reads tokens of several sequences at once: the weights are read from memory once for all, however many there are. Each
// sequence keeps its own state and adapter, and gets the very bits that it would get alone. A model that computes exactly
// reads them one after another. Not thread-safe; keeps its memory from one pass to the next.
class JointPass {
 public:
  explicit JointPass(std::shared_ptr<const Model> model);
  ~JointPass();

  struct Part {
    Sequence* sequence = nullptr;      // borrowed
    std::span<const int32_t> tokens;
    size_t rows = 0;                   // logits after so many of its last tokens
  };
  // Appends each part's tokens to its sequence, and writes the wanted logits of all parts one after another. Errors of
  // Sequence::Append, after which all sequences are as before. Requires sequences of the model, none twice, and
  // logits.size() == sum of rows * vocabulary; checked. Best with at most kPassTokens together.
  absl::Status Append(std::span<const Part> parts, std::span<float> logits);

 private:
  const std::shared_ptr<const Model> model_;
  const std::unique_ptr<PackedPass> packed_;  // null: exactly
};

}  // namespace fleetune
