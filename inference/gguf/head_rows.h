#pragma once

#include <cstdint>

namespace fleetune {

// The order of rows within the heads of q and k, of which each has `head_rows`, an even number. Hugging Face's models
// rotate the first half of a head with the second; GGUF files of `llama` interleave the two.

// Where such a file has row `row` of Hugging Face's.
constexpr uint64_t InterleavedRow(uint64_t row, uint64_t head_rows) {
  const uint64_t half = head_rows / 2, within = row % head_rows;
  return row - within + within % half * 2 + within / half;
}

// Its inverse: where Hugging Face's have row `row` of such a file.
constexpr uint64_t SeparateRow(uint64_t row, uint64_t head_rows) {
  const uint64_t half = head_rows / 2, within = row % head_rows;
  return row - within + within % 2 * half + within / 2;
}

}  // namespace fleetune
