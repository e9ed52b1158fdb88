#include "tools/model/pretrain_file.h"

#include <utility>
#include <vector>

#include "inference/kernels/blocks.h"

namespace fleetune {
namespace {

LlamaShape WithHeadSize(LlamaShape shape) {
  shape.head_size = shape.width / shape.heads;
  shape.rope_size = shape.head_size;
  return shape;
}

}  // namespace

std::optional<LlamaShape> PublishedShape(std::string_view name) {
  if (name == "smollm2-135m") {
    return WithHeadSize({.architecture = "llama", .vocabulary = 49152, .context = 8192, .width = 576, .layers = 30,
                         .heads = 9, .kv_heads = 3, .feed_forward = 1536, .norm_epsilon = 1e-5f,
                         .rope_base = 100000, .rope_pairing = RopePairing::kInterleaved, .tied_output = true});
  }
  if (name == "qwen2.5-0.5b") {
    return WithHeadSize({.architecture = "qwen2", .vocabulary = 151936, .context = 32768, .width = 896, .layers = 24,
                         .heads = 14, .kv_heads = 2, .feed_forward = 4864, .norm_epsilon = 1e-6f,
                         .rope_base = 1000000, .rope_pairing = RopePairing::kHalves, .qkv_bias = true,
                         .tied_output = true});
  }
  if (name == "tinyllama-1.1b") {
    return WithHeadSize({.architecture = "llama", .vocabulary = 32000, .context = 2048, .width = 2048, .layers = 22,
                         .heads = 32, .kv_heads = 4, .feed_forward = 5632, .norm_epsilon = 1e-5f,
                         .rope_base = 10000, .rope_pairing = RopePairing::kInterleaved, .tied_output = false});
  }
  return std::nullopt;
}

GgufWriter StartModelFile(const std::string& name, const LlamaShape& shape, const LearnedVocabulary& vocabulary) {
  GgufWriter writer;
  AddLlamaShape(shape, writer);
  writer.AddString("general.name", name);
  writer.AddUint32("general.quantization_version", 2);
  AddVocabulary(vocabulary, writer);
  return writer;
}

void AddWeight(const NamedWeight& weight, TensorType type, GgufWriter& writer) {
  if (weight.rows == 1) {
    type = TensorType::kF32;
  } else if (weight.columns % BlockElements(type) != 0) {
    type = TensorType::kF16;
  }
  Bytes bytes(weight.values.size() / BlockElements(type) * BlockBytes(type));
  Quantize(type, weight.values, bytes);
  std::vector<uint64_t> shape = {weight.columns};
  if (weight.rows > 1) shape.push_back(weight.rows);
  writer.AddTensor(weight.name, type, std::move(shape), std::move(bytes));
}

}  // namespace fleetune
