#pragma once

#include <vector>

#include "inference/gguf/gguf_file.h"
#include "inference/gguf/llama_shape.h"
#include "inference/kernels/product.h"
#include "inference/packed/packed_model.h"

namespace fleetune {

// The tensors of a Llama-family model by their place in the graph. Matrices are views into the mapped file;
// norms and biases, which are small, are copied as floats.
struct LayerWeights {
  std::vector<float> attention_norm;
  std::vector<float> feed_forward_norm;
  WeightMatrix q, k, v, o, gate, up, down;
  std::vector<float> q_bias, k_bias, v_bias;  // empty if the model has none
};
struct ModelWeights {
  WeightMatrix embedding;
  WeightMatrix output;  // the embedding, if tied
  std::vector<float> output_norm;
  std::vector<LayerWeights> layers;
};

// Requires ReadLlamaShape(file) to have given `shape`. The views live as long as `file`.
ModelWeights FindWeights(const GgufFile& file, const LlamaShape& shape);

// The matrices in their packed form, by the same places.
struct PackedLayerWeights {
  const PackedMatrix *q, *k, *v, *o, *gate, *up, *down;
};
struct PackedWeights {
  const PackedMatrix* output = nullptr;
  std::vector<PackedLayerWeights> layers;
};

// Requires `packed` to be made from a file of this shape; checked. The pointers live as long as `packed`.
PackedWeights FindPackedWeights(const PackedModel& packed, const LlamaShape& shape);

}  // namespace fleetune
