#include "inference/model/weights.h"

#include "base/check.h"
#include "inference/kernels/blocks.h"

namespace fleetune {
namespace {

WeightMatrix MatrixNamed(const GgufFile& file, const std::string& name) {
  const GgufTensor* tensor = file.FindTensor(name);
  CHECK(tensor != nullptr);  // ReadLlamaShape found it
  return MatrixOf(*tensor);
}

std::vector<float> VectorNamed(const GgufFile& file, const std::string& name) {
  const WeightMatrix row = MatrixNamed(file, name);
  std::vector<float> values(row.columns);
  Dequantize(row.type, row.data, values);
  return values;
}

LayerWeights FindLayer(const GgufFile& file, const LlamaShape& shape, uint32_t layer) {
  const auto matrix = [&](const char* part) { return MatrixNamed(file, BlockTensorName(layer, part)); };
  LayerWeights found;
  found.attention_norm = VectorNamed(file, BlockTensorName(layer, "attn_norm"));
  found.feed_forward_norm = VectorNamed(file, BlockTensorName(layer, "ffn_norm"));
  found.q = matrix("attn_q");
  found.k = matrix("attn_k");
  found.v = matrix("attn_v");
  found.o = matrix("attn_output");
  found.gate = matrix("ffn_gate");
  found.up = matrix("ffn_up");
  found.down = matrix("ffn_down");
  if (shape.qkv_bias) {
    found.q_bias = VectorNamed(file, BlockTensorName(layer, "attn_q", "bias"));
    found.k_bias = VectorNamed(file, BlockTensorName(layer, "attn_k", "bias"));
    found.v_bias = VectorNamed(file, BlockTensorName(layer, "attn_v", "bias"));
  }
  return found;
}

}  // namespace

ModelWeights FindWeights(const GgufFile& file, const LlamaShape& shape) {
  ModelWeights found;
  found.embedding = MatrixNamed(file, "token_embd.weight");
  found.output = shape.tied_output ? found.embedding : MatrixNamed(file, "output.weight");
  found.output_norm = VectorNamed(file, "output_norm.weight");
  for (uint32_t layer = 0; layer < shape.layers; ++layer)
    found.layers.push_back(FindLayer(file, shape, layer));
  return found;
}

PackedWeights FindPackedWeights(const PackedModel& packed, const LlamaShape& shape) {
  const auto named = [&packed](const std::string& name) {
    const PackedMatrix* matrix = packed.Find(name);
    CHECK(matrix != nullptr);
    return matrix;
  };
  PackedWeights found;
  found.output = named(shape.tied_output ? "token_embd.weight" : "output.weight");
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    const auto matrix = [&](const char* part) { return named(BlockTensorName(layer, part)); };
    found.layers.push_back({.q = matrix("attn_q"),
                            .k = matrix("attn_k"),
                            .v = matrix("attn_v"),
                            .o = matrix("attn_output"),
                            .gate = matrix("ffn_gate"),
                            .up = matrix("ffn_up"),
                            .down = matrix("ffn_down")});
  }
  return found;
}

}  // namespace fleetune
