#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/gguf_writer.h"

namespace fleetune {

// How RoPE pairs the elements of a head: neighbours (2i, 2i+1), or halves (i, i + n/2).
enum class RopePairing { kInterleaved, kHalves };

// Hyperparameters of a Llama-family model, read from a GGUF file's metadata and checked against its tensors.
struct LlamaShape {
  std::string architecture;      // "llama" or "qwen2"
  uint32_t vocabulary = 0;
  uint32_t context = 0;          // tokens it was trained for
  uint32_t width = 0;            // embedding length
  uint32_t layers = 0;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;         // divides heads (grouped-query attention)
  uint32_t head_size = 0;
  uint32_t rope_size = 0;        // rotated elements of a head, even
  uint32_t feed_forward = 0;
  float norm_epsilon = 0;
  float rope_base = 10000;
  RopePairing rope_pairing = RopePairing::kInterleaved;
  bool qkv_bias = false;         // blk.N.attn_{q,k,v}.bias are there
  bool tied_output = false;      // no output.weight: token_embd.weight serves
};

// InvalidArgument naming the architecture (if it is not supported), or the key or tensor that is missing, or whose
// shape differs ("blk.0.attn_q.weight: expected 64 x 64, got 64 x 32").
absl::StatusOr<LlamaShape> ReadLlamaShape(const GgufFile& file);

// Its inverse: adds general.architecture and the hyperparameters of a shape that ReadLlamaShape would give.
void AddLlamaShape(const LlamaShape& shape, GgufWriter& writer);

// Tensor names. `part` is "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down",
// "attn_norm", "ffn_norm"; `kind` "weight" or "bias".
std::string BlockTensorName(uint32_t layer, const char* part, const char* kind = "weight");

}  // namespace fleetune
