#include "inference/huggingface/model_tensors.h"

#include <utility>

#include "fmt/format.h"
#include "inference/gguf/head_rows.h"

namespace fleetune {
namespace {

class TensorList {
 public:
  explicit TensorList(const LlamaShape& shape)
      : shape_(shape), is_permuted_(shape.rope_pairing == RopePairing::kInterleaved) {}

  std::vector<ModelTensor> Make() {
    Add({.name = "model.embed_tokens.weight",
         .gguf_name = "token_embd.weight",
         .rows = shape_.vocabulary,
         .columns = shape_.width});
    for (uint32_t layer = 0; layer < shape_.layers; ++layer) AddLayer(layer);
    Add({.name = "model.norm.weight", .gguf_name = "output_norm.weight", .columns = shape_.width, .is_vector = true});
    if (!shape_.tied_output) {
      Add({.name = "lm_head.weight", .gguf_name = "output.weight", .rows = shape_.vocabulary, .columns = shape_.width});
    }
    return std::move(tensors_);
  }

 private:
  void Add(ModelTensor tensor) { tensors_.push_back(std::move(tensor)); }

  void AddLayer(uint32_t layer) {
    const uint64_t q_size = uint64_t{shape_.heads} * shape_.head_size;
    const uint64_t kv_size = uint64_t{shape_.kv_heads} * shape_.head_size;
    AddNorm(layer, "input_layernorm", "attn_norm");
    AddProjection(layer, "self_attn.q_proj", "attn_q", q_size, shape_.width, shape_.heads);
    AddProjection(layer, "self_attn.k_proj", "attn_k", kv_size, shape_.width, shape_.kv_heads);
    AddProjection(layer, "self_attn.v_proj", "attn_v", kv_size, shape_.width);
    AddProjection(layer, "self_attn.o_proj", "attn_output", shape_.width, q_size);
    AddNorm(layer, "post_attention_layernorm", "ffn_norm");
    AddProjection(layer, "mlp.gate_proj", "ffn_gate", shape_.feed_forward, shape_.width);
    AddProjection(layer, "mlp.up_proj", "ffn_up", shape_.feed_forward, shape_.width);
    AddProjection(layer, "mlp.down_proj", "ffn_down", shape_.width, shape_.feed_forward);
    if (!shape_.qkv_bias) return;
    AddBias(layer, "self_attn.q_proj", "attn_q", q_size);
    AddBias(layer, "self_attn.k_proj", "attn_k", kv_size);
    AddBias(layer, "self_attn.v_proj", "attn_v", kv_size);
  }

  void AddNorm(uint32_t layer, std::string_view module, const char* part) {
    Add({.name = fmt::format("model.layers.{}.{}.weight", layer, module),
         .gguf_name = BlockTensorName(layer, part),
         .columns = shape_.width,
         .is_vector = true});
  }
  void AddProjection(uint32_t layer, std::string_view module, const char* part, uint64_t rows, uint64_t columns,
                     uint32_t rotated_heads = 0) {
    Add({.name = fmt::format("model.layers.{}.{}.weight", layer, module),
         .gguf_name = BlockTensorName(layer, part),
         .rows = rows,
         .columns = columns,
         .interleaved_heads = is_permuted_ ? rotated_heads : 0});
  }
  void AddBias(uint32_t layer, std::string_view module, const char* part, uint64_t size) {
    Add({.name = fmt::format("model.layers.{}.{}.bias", layer, module),
         .gguf_name = BlockTensorName(layer, part, "bias"),
         .columns = size,
         .is_vector = true});
  }

  const LlamaShape& shape_;
  const bool is_permuted_;
  std::vector<ModelTensor> tensors_;
};

}  // namespace

std::vector<ModelTensor> TensorsOf(const LlamaShape& shape) { return TensorList(shape).Make(); }

uint64_t SourceRow(const ModelTensor& tensor, uint64_t row) {
  if (tensor.interleaved_heads == 0) return row;
  return SeparateRow(row, tensor.rows / tensor.interleaved_heads);
}

bool IsSuperfluous(std::string_view name, const LlamaShape& shape) {
  return name.ends_with(".rotary_emb.inv_freq") || (shape.tied_output && name == "lm_head.weight");
}

}  // namespace fleetune
