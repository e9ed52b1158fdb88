#pragma once

#include <cstddef>
#include <cstdint>

#include "inference/kernels/panel_layout.h"

namespace fleetune {

// One code of a block's lines, from where it was packed. For one value after another: products read whole lines.
inline int CodeAt(TensorType type, const uint8_t* lines, size_t row, size_t column) {
  const size_t group = column / 4;
  const size_t byte = 4 * row + column % 4;
  if (type == TensorType::kQ8_0) return lines[group * kPanelLine + byte];
  const int low = lines[group % 4 * kPanelLine + byte] >> (group / 4 * 4) & 15;
  const uint8_t* more = lines + 4 * kPanelLine + byte;
  if (type == TensorType::kQ5_0) return low | (more[0] >> group & 1) << 4;
  if (type == TensorType::kQ6_K) return low | (more[group / 4 * kPanelLine] >> (group % 4 * 2) & 3) << 4;
  return low;
}

}  // namespace fleetune
