#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "inference/gguf/llama_shape.h"

namespace fleetune {

// A tensor of a Llama-family model under both of its names.
struct ModelTensor {
  std::string name;       // Hugging Face's: "model.layers.3.self_attn.q_proj.weight"
  std::string gguf_name;  // "blk.3.attn_q.weight"
  uint64_t rows = 1;
  uint64_t columns = 0;
  bool is_vector = false;  // of one axis: norms and biases
  // Heads of q and k of architecture "llama", whose rows lie as SeparateRow says; 0: rows stay where they are.
  uint32_t interleaved_heads = 0;
};

// All tensors of a model of this shape, in the order of GGUF files.
std::vector<ModelTensor> TensorsOf(const LlamaShape& shape);

// Where row `row` of the GGUF tensor lies in Hugging Face's.
uint64_t SourceRow(const ModelTensor& tensor, uint64_t row);

// Whether a file may hold a tensor of this name beside those of TensorsOf: what is computed from the configuration, and
// the output matrix where the embedding serves as such.
bool IsSuperfluous(std::string_view name, const LlamaShape& shape);

}  // namespace fleetune
