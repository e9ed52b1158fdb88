#include "lora/train/base_tensors.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "inference/gguf/llama_shape.h"

namespace fleetune {
namespace {

constexpr std::array<const char*, kNumProjections> kParts = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                                             "ffn_gate", "ffn_up", "ffn_down"};

}  // namespace

absl::StatusOr<const GgufTensor*> BaseTensor(const GgufFile& file, const std::string& name) {
  const GgufTensor* tensor = file.FindTensor(name);
  if (tensor == nullptr) return absl::InvalidArgumentError(absl::StrCat(name, ": the model lacks this tensor"));
  return tensor;
}

absl::StatusOr<const GgufTensor*> BaseTensor(const GgufFile& file, uint32_t layer, Projection projection,
                                             const char* suffix) {
  return BaseTensor(file, BlockTensorName(layer, kParts[static_cast<size_t>(projection)], suffix));
}

}  // namespace fleetune
