#include "inference/model/rotation.h"

#include <cmath>

#include "base/check.h"

namespace fleetune {

Rotation::Rotation(const LlamaShape& shape) : head_size_(shape.head_size), pairing_(shape.rope_pairing) {
  const uint32_t pairs = shape.rope_size / 2;
  for (uint32_t i = 0; i < pairs; ++i) {
    frequencies_.push_back(std::pow(static_cast<double>(shape.rope_base), -2.0 * i / shape.rope_size));
  }
}

void Rotation::Apply(uint32_t position, std::span<float> heads) const {
  std::vector<float> angles(angles_size());
  Angles(position, angles);
  Turn(angles, heads);
}

void Rotation::Angles(uint32_t position, std::span<float> angles) const {
  CHECK(angles.size() == angles_size());
  for (size_t i = 0; i < frequencies_.size(); ++i) {
    // The angle in double: at position 100,000 a float's is off by 0.004.
    const double angle = position * frequencies_[i];
    angles[2 * i] = static_cast<float>(std::cos(angle));
    angles[2 * i + 1] = static_cast<float>(std::sin(angle));
  }
}

void Rotation::Turn(std::span<const float> angles, std::span<float> heads) const {
  CHECK(heads.size() % head_size_ == 0 && angles.size() == angles_size());
  const size_t pairs = frequencies_.size();
  for (size_t head = 0; head < heads.size(); head += head_size_) {
    for (size_t i = 0; i < pairs; ++i) {
      const size_t first = head + (pairing_ == RopePairing::kInterleaved ? 2 * i : i);
      const size_t second = head + (pairing_ == RopePairing::kInterleaved ? 2 * i + 1 : i + pairs);
      const float x = heads[first];
      const float y = heads[second];
      heads[first] = x * angles[2 * i] - y * angles[2 * i + 1];
      heads[second] = x * angles[2 * i + 1] + y * angles[2 * i];
    }
  }
}

}  // namespace fleetune
