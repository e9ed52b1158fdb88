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
  CHECK(heads.size() % head_size_ == 0);
  const size_t pairs = frequencies_.size();
  for (size_t i = 0; i < pairs; ++i) {
    const size_t first = pairing_ == RopePairing::kInterleaved ? 2 * i : i;
    const size_t second = pairing_ == RopePairing::kInterleaved ? 2 * i + 1 : i + pairs;
    // The angle in double: at position 100,000 a float's is off by 0.004.
    const double angle = position * frequencies_[i];
    const float cosine = static_cast<float>(std::cos(angle));
    const float sine = static_cast<float>(std::sin(angle));
    for (size_t head = 0; head < heads.size(); head += head_size_) {
      const float x = heads[head + first];
      const float y = heads[head + second];
      heads[head + first] = x * cosine - y * sine;
      heads[head + second] = x * sine + y * cosine;
    }
  }
}

}  // namespace fleetune
