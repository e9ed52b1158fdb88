#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "inference/kernels/compute.h"

namespace fleetune {

// The vectors that matrices are multiplied with, in tiles of 16, 8, 4, 2 and 1: as floats for matrices of floats, as int8
// with a scale for each 32 columns for quantized ones. Not thread-safe while it is filled; its memory is kept from one
// filling to the next.
class VectorTiles {
 public:
  struct Forms {
    bool quantized = false;  // needs columns to be a multiple of 32; checked
    bool floats = false;
  };

  // Takes x.size() / columns vectors, one after another. x.size() must be a multiple of columns; checked.
  void Fill(std::span<const float> x, size_t columns, Forms forms, const Compute& compute);

  struct Tile {
    size_t first = 0;  // vector
    size_t vectors = 0;
  };
  std::span<const Tile> tiles() const { return tiles_; }
  size_t columns() const { return columns_; }
  size_t vectors() const { return vectors_; }
  Forms forms() const { return forms_; }

  // A tile's values lie together, after those of the tiles before it.
  const float* floats(const Tile& tile) const { return floats_.data() + tile.first * columns_; }
  const int8_t* values(const Tile& tile) const { return values_.data() + tile.first * columns_; }
  const float* scales(const Tile& tile) const { return scales_.data() + tile.first * (columns_ / 32); }
  // Of the blocks' values, less than zero for more than zero: all, the first 16, the last 16.
  const int32_t* minus(const Tile& tile) const { return minus_.data() + tile.first * (columns_ / 32); }
  const int32_t* first_half(const Tile& tile) const { return first_.data() + tile.first * (columns_ / 32); }
  const int32_t* second_half(const Tile& tile) const { return second_.data() + tile.first * (columns_ / 32); }

 private:
  void PlaceTiles();
  void QuantizeVector(const Tile& tile, size_t vector, const float* x, const Compute& compute);

  size_t columns_ = 0;
  size_t vectors_ = 0;
  Forms forms_;
  std::vector<Tile> tiles_;
  std::vector<float> floats_;
  std::vector<int8_t> values_;
  std::vector<float> scales_;
  std::vector<int32_t> minus_, first_, second_;
};

}  // namespace fleetune
