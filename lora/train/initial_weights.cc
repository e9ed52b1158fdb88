#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "base/random.h"
#include "lora/train/pretrainer.h"

namespace fleetune {
namespace {

// Box-Muller, one value of each pair: slow, and the same everywhere up to the last bits of the libraries' functions.
float NextNormal(SplitMix64& random) {
  const double u = 1.0 - random.NextUnit();
  const double angle = 2.0 * std::numbers::pi * random.NextUnit();
  return static_cast<float>(std::sqrt(-2.0 * std::log(u)) * std::cos(angle));
}

bool EndsWith(const NamedWeight& weight, std::string_view part) { return weight.name.ends_with(part); }

void Fill(NamedWeight& weight, uint32_t layers, SplitMix64& random) {
  weight.values.assign(weight.rows * weight.columns, 0.0f);
  if (EndsWith(weight, "norm.weight")) weight.values.assign(weight.columns, 1.0f);
  if (weight.rows == 1) return;  // a norm or a bias
  double deviation = 1.0 / std::sqrt(static_cast<double>(weight.columns));
  if (EndsWith(weight, "attn_output.weight") || EndsWith(weight, "ffn_down.weight")) {
    deviation /= std::sqrt(2.0 * layers);
  }
  for (float& value : weight.values) value = static_cast<float>(deviation) * NextNormal(random);
}

}  // namespace

std::vector<NamedWeight> WeightShapes(const LlamaShape& shape) {
  const uint64_t query = uint64_t{shape.heads} * shape.head_size;
  const uint64_t key = uint64_t{shape.kv_heads} * shape.head_size;
  std::vector<NamedWeight> weights;
  const auto add = [&](std::string name, uint64_t rows, uint64_t columns) {
    weights.push_back({.name = std::move(name), .rows = rows, .columns = columns, .values = {}});
  };
  add("token_embd.weight", shape.vocabulary, shape.width);
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    add(BlockTensorName(layer, "attn_norm"), 1, shape.width);
    const std::array<std::pair<const char*, uint64_t>, 3> inputs = {
        {{"attn_q", query}, {"attn_k", key}, {"attn_v", key}}};
    for (const auto& [part, rows] : inputs) {
      add(BlockTensorName(layer, part), rows, shape.width);
      if (shape.qkv_bias) add(BlockTensorName(layer, part, "bias"), 1, rows);
    }
    add(BlockTensorName(layer, "attn_output"), shape.width, query);
    add(BlockTensorName(layer, "ffn_norm"), 1, shape.width);
    add(BlockTensorName(layer, "ffn_gate"), shape.feed_forward, shape.width);
    add(BlockTensorName(layer, "ffn_up"), shape.feed_forward, shape.width);
    add(BlockTensorName(layer, "ffn_down"), shape.width, shape.feed_forward);
  }
  add("output_norm.weight", 1, shape.width);
  if (!shape.tied_output) add("output.weight", shape.vocabulary, shape.width);
  return weights;
}

std::vector<NamedWeight> InitialWeights(const LlamaShape& shape, uint64_t seed) {
  std::vector<NamedWeight> weights = WeightShapes(shape);
  SplitMix64 random(seed);
  for (NamedWeight& weight : weights) Fill(weight, shape.layers, random);
  return weights;
}

}  // namespace fleetune
