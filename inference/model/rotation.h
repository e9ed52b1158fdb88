#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "inference/gguf/llama_shape.h"

namespace fleetune {

// Rotary position embedding (Su et al. 2021) of the first `rope_size` elements of each head. Immutable.
class Rotation {
 public:
  explicit Rotation(const LlamaShape& shape);

  // Rotates every head in `heads` (a multiple of head_size floats, checked) as at `position`.
  void Apply(uint32_t position, std::span<float> heads) const;

  // The same in two steps, for many heads at one position: cosine and sine of each pair's angle, then the turn.
  size_t angles_size() const { return 2 * frequencies_.size(); }
  void Angles(uint32_t position, std::span<float> angles) const;
  void Turn(std::span<const float> angles, std::span<float> heads) const;

 private:
  uint32_t head_size_;
  RopePairing pairing_;
  std::vector<double> frequencies_;  // radians a position, of each pair
};

}  // namespace fleetune
