#include "inference/gguf/llama_shape.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/gguf/gguf_limits.h"

namespace fleetune {
namespace {

// Reads the hyperparameters of one architecture and checks them one by one, then all tensors against them.
class ShapeReader {
 public:
  explicit ShapeReader(const GgufFile& file) : file_(file) {}

  absl::StatusOr<LlamaShape> Read() {
    RETURN_IF_ERROR(ReadArchitecture());
    RETURN_IF_ERROR(RefuseUnsupportedKeys());
    RETURN_IF_ERROR(ReadSizes());
    RETURN_IF_ERROR(ReadRotation());
    RETURN_IF_ERROR(CheckTensors());
    return shape_;
  }

 private:
  std::string Key(std::string_view name) const { return fmt::format("{}.{}", shape_.architecture, name); }

  absl::StatusOr<uint32_t> ReadCount(std::string_view name, uint32_t max) const {
    const absl::StatusOr<uint64_t> value = file_.GetUint(Key(name));
    if (!value.ok()) return absl::InvalidArgumentError(value.status().message());
    if (*value < 1 || *value > max) {
      return absl::InvalidArgumentError(
          fmt::format("metadata {} is {}; expected 1 to {}", Key(name), *value, max));
    }
    return static_cast<uint32_t>(*value);
  }

  absl::StatusOr<uint32_t> ReadCountOr(std::string_view name, uint32_t max, uint32_t otherwise) const {
    if (file_.FindValue(Key(name)) == nullptr) return otherwise;
    return ReadCount(name, max);
  }

  absl::Status ReadArchitecture() {
    const absl::StatusOr<std::string_view> name = file_.GetString("general.architecture");
    if (!name.ok()) return absl::InvalidArgumentError(name.status().message());
    const absl::StatusOr<std::string_view> type = file_.GetString("general.type");
    if (type.ok() && *type != "model") {
      return absl::InvalidArgumentError(fmt::format("the file holds \"{}\"; expected a model", *type));
    }
    if (*name != "llama" && *name != "qwen2") {
      return absl::InvalidArgumentError(
          fmt::format("architecture \"{}\" is not supported; expected llama or qwen2", *name));
    }
    shape_.architecture = *name;
    shape_.rope_pairing = *name == "llama" ? RopePairing::kInterleaved : RopePairing::kHalves;
    return absl::OkStatus();
  }

  // What would change the computation and is not computed here is refused, not ignored.
  absl::Status RefuseUnsupportedKeys() const {
    for (const char* name : {"expert_count", "attention.sliding_window"}) {
      const absl::StatusOr<uint64_t> value = file_.GetUint(Key(name));
      if (absl::IsNotFound(value.status()) || (value.ok() && *value == 0)) continue;
      return absl::InvalidArgumentError(fmt::format("metadata {} is not supported", Key(name)));
    }
    for (const char* name : {"attention.scale", "attention.clamp_kqv", "attention.max_alibi_bias",
                             "logit_scale", "residual_scale", "embedding_scale", "final_logit_softcapping"}) {
      if (file_.FindValue(Key(name)) == nullptr) continue;
      return absl::InvalidArgumentError(fmt::format("metadata {} is not supported", Key(name)));
    }
    const absl::StatusOr<std::string_view> scaling = file_.GetString(Key("rope.scaling.type"));
    if (scaling.ok() && *scaling != "none") {
      return absl::InvalidArgumentError(
          fmt::format("metadata {} is \"{}\", which is not supported", Key("rope.scaling.type"), *scaling));
    }
    for (const char* name : {"rope.scale_linear", "rope.scaling.factor"}) {
      const absl::StatusOr<double> factor = file_.GetFloat(Key(name));
      if (scaling.ok() || absl::IsNotFound(factor.status())) continue;
      if (!factor.ok()) return factor.status();
      if (*factor != 0 && *factor != 1) {
        return absl::InvalidArgumentError(
            fmt::format("metadata {} is {}, which is not supported", Key(name), *factor));
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadSizes() {
    ASSIGN_OR_RETURN(shape_.context, ReadCount("context_length", kMaxModelContext));
    ASSIGN_OR_RETURN(shape_.width, ReadCount("embedding_length", kMaxModelFeatures));
    ASSIGN_OR_RETURN(shape_.layers, ReadCount("block_count", kMaxModelLayers));
    ASSIGN_OR_RETURN(shape_.feed_forward, ReadCount("feed_forward_length", kMaxModelFeatures));
    ASSIGN_OR_RETURN(shape_.heads, ReadCount("attention.head_count", kMaxModelHeads));
    ASSIGN_OR_RETURN(shape_.kv_heads, ReadCountOr("attention.head_count_kv", kMaxModelHeads, shape_.heads));
    if (shape_.heads % shape_.kv_heads != 0) {
      return absl::InvalidArgumentError(fmt::format(
          "{} attention heads cannot share {} key-value heads evenly", shape_.heads, shape_.kv_heads));
    }
    if (file_.FindValue(Key("attention.key_length")) == nullptr && shape_.width % shape_.heads != 0) {
      return absl::InvalidArgumentError(
          fmt::format("an embedding of {} does not divide by {} heads", shape_.width, shape_.heads));
    }
    const uint32_t shared = std::max(1u, shape_.width / shape_.heads);
    ASSIGN_OR_RETURN(shape_.head_size, ReadCountOr("attention.key_length", kMaxModelFeatures, shared));
    ASSIGN_OR_RETURN(const uint32_t value_size,
                     ReadCountOr("attention.value_length", kMaxModelFeatures, shape_.head_size));
    if (value_size != shape_.head_size) {
      return absl::InvalidArgumentError(fmt::format("metadata {} is {}; expected the key length {}",
                                                    Key("attention.value_length"), value_size,
                                                    shape_.head_size));
    }
    if (uint64_t{shape_.heads} * shape_.head_size > kMaxModelFeatures) {
      return absl::InvalidArgumentError(fmt::format("{} heads of {} are over {} features", shape_.heads,
                                                    shape_.head_size, kMaxModelFeatures));
    }
    const std::string epsilon_key = Key("attention.layer_norm_rms_epsilon");
    const absl::StatusOr<double> epsilon = file_.GetFloat(epsilon_key);
    if (!epsilon.ok()) return absl::InvalidArgumentError(epsilon.status().message());
    if (!(*epsilon > 0 && *epsilon < 1)) {
      return absl::InvalidArgumentError(
          fmt::format("metadata {} is {}; expected above 0 and below 1", epsilon_key, *epsilon));
    }
    shape_.norm_epsilon = static_cast<float>(*epsilon);
    return absl::OkStatus();
  }

  absl::Status ReadRotation() {
    ASSIGN_OR_RETURN(shape_.rope_size,
                     ReadCountOr("rope.dimension_count", kMaxModelFeatures, shape_.head_size));
    if (shape_.rope_size % 2 != 0 || shape_.rope_size > shape_.head_size) {
      return absl::InvalidArgumentError(
          fmt::format("metadata {} is {}; expected an even number up to the head's {}",
                      Key("rope.dimension_count"), shape_.rope_size, shape_.head_size));
    }
    const absl::StatusOr<double> base = file_.GetFloat(Key("rope.freq_base"));
    if (absl::IsNotFound(base.status())) return absl::OkStatus();
    if (!base.ok()) return base.status();
    if (!(std::isfinite(*base) && *base >= 1)) {
      return absl::InvalidArgumentError(
          fmt::format("metadata {} is {}; expected 1 or more", Key("rope.freq_base"), *base));
    }
    shape_.rope_base = static_cast<float>(*base);
    return absl::OkStatus();
  }

  absl::Status CheckTensor(const std::string& name, uint64_t rows, uint64_t columns) {
    const GgufTensor* tensor = file_.FindTensor(name);
    if (tensor == nullptr) return absl::InvalidArgumentError(fmt::format("tensor {} is missing", name));
    if (tensor->rows != rows || tensor->columns != columns) {
      return absl::InvalidArgumentError(fmt::format("{}: expected {} x {}, got {} x {}", name, rows, columns,
                                                    tensor->rows, tensor->columns));
    }
    used_.insert(tensor);
    return absl::OkStatus();
  }

  absl::Status CheckLayer(uint32_t layer) {
    const uint64_t q_size = uint64_t{shape_.heads} * shape_.head_size;
    const uint64_t kv_size = uint64_t{shape_.kv_heads} * shape_.head_size;
    const struct {
      const char* part;
      uint64_t rows, columns;
    } weights[] = {{"attn_norm", 1, shape_.width},
                   {"ffn_norm", 1, shape_.width},
                   {"attn_q", q_size, shape_.width},
                   {"attn_k", kv_size, shape_.width},
                   {"attn_v", kv_size, shape_.width},
                   {"attn_output", shape_.width, q_size},
                   {"ffn_gate", shape_.feed_forward, shape_.width},
                   {"ffn_up", shape_.feed_forward, shape_.width},
                   {"ffn_down", shape_.width, shape_.feed_forward}};
    for (const auto& weight : weights) {
      RETURN_IF_ERROR(CheckTensor(BlockTensorName(layer, weight.part), weight.rows, weight.columns));
    }
    if (!shape_.qkv_bias) return absl::OkStatus();
    RETURN_IF_ERROR(CheckTensor(BlockTensorName(layer, "attn_q", "bias"), 1, q_size));
    RETURN_IF_ERROR(CheckTensor(BlockTensorName(layer, "attn_k", "bias"), 1, kv_size));
    return CheckTensor(BlockTensorName(layer, "attn_v", "bias"), 1, kv_size);
  }

  absl::Status CheckTensors() {
    const GgufTensor* embedding = file_.FindTensor("token_embd.weight");
    if (embedding == nullptr) return absl::InvalidArgumentError("tensor token_embd.weight is missing");
    if (embedding->rows > kMaxModelVocabulary) {
      return absl::InvalidArgumentError(
          fmt::format("token_embd.weight has {} rows; a vocabulary has at most {}", embedding->rows,
                      kMaxModelVocabulary));
    }
    shape_.vocabulary = static_cast<uint32_t>(embedding->rows);
    shape_.tied_output = file_.FindTensor("output.weight") == nullptr;
    shape_.qkv_bias = file_.FindTensor(BlockTensorName(0, "attn_q", "bias")) != nullptr;
    RETURN_IF_ERROR(CheckTensor("token_embd.weight", shape_.vocabulary, shape_.width));
    RETURN_IF_ERROR(CheckTensor("output_norm.weight", 1, shape_.width));
    if (!shape_.tied_output) RETURN_IF_ERROR(CheckTensor("output.weight", shape_.vocabulary, shape_.width));
    for (uint32_t layer = 0; layer < shape_.layers; ++layer) RETURN_IF_ERROR(CheckLayer(layer));
    // A tensor left over would change the result if it were used (rope_freqs.weight of Llama 3, other
    // biases).
    for (const GgufTensor& tensor : file_.tensors()) {
      if (!used_.contains(&tensor)) {
        return absl::InvalidArgumentError(fmt::format("tensor {} is not supported", tensor.name));
      }
    }
    return absl::OkStatus();
  }

  const GgufFile& file_;
  LlamaShape shape_;
  std::set<const GgufTensor*> used_;
};

}  // namespace

absl::StatusOr<LlamaShape> ReadLlamaShape(const GgufFile& file) { return ShapeReader(file).Read(); }

void AddLlamaShape(const LlamaShape& shape, GgufWriter& writer) {
  const auto key = [&](const char* part) { return fmt::format("{}.{}", shape.architecture, part); };
  writer.AddString("general.architecture", shape.architecture);
  writer.AddUint32(key("context_length"), shape.context);
  writer.AddUint32(key("embedding_length"), shape.width);
  writer.AddUint32(key("block_count"), shape.layers);
  writer.AddUint32(key("feed_forward_length"), shape.feed_forward);
  writer.AddUint32(key("attention.head_count"), shape.heads);
  writer.AddUint32(key("attention.head_count_kv"), shape.kv_heads);
  if (shape.head_size * shape.heads != shape.width) {
    writer.AddUint32(key("attention.key_length"), shape.head_size);
    writer.AddUint32(key("attention.value_length"), shape.head_size);
  }
  writer.AddFloat(key("attention.layer_norm_rms_epsilon"), shape.norm_epsilon);
  writer.AddUint32(key("rope.dimension_count"), shape.rope_size);
  writer.AddFloat(key("rope.freq_base"), shape.rope_base);
  writer.AddUint32(key("vocab_size"), shape.vocabulary);
}

std::string BlockTensorName(uint32_t layer, const char* part, const char* kind) {
  return fmt::format("blk.{}.{}.{}", layer, part, kind);
}

}  // namespace fleetune
