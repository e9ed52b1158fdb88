#include "inference/huggingface/model_config.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/gguf/gguf_limits.h"
#include "inference/huggingface/json_object.h"

namespace fleetune {
namespace {

using nlohmann::json;

// A model type, and the class of transformers that its weights belong to.
struct Family {
  std::string_view model_type;
  std::string_view model_class;
  std::string_view architecture;  // in GGUF
  bool qkv_bias;
  std::optional<uint32_t> window;  // of attention, where the file does not say
};
constexpr Family kFamilies[] = {{"llama", "LlamaForCausalLM", "llama", false, std::nullopt},
                                {"mistral", "MistralForCausalLM", "llama", false, 4096},
                                {"qwen2", "Qwen2ForCausalLM", "qwen2", true, std::nullopt}};

absl::StatusOr<Family> ReadFamily(const JsonObject& config) {
  ASSIGN_OR_RETURN(const std::string type, config.TextOr("model_type", ""));
  const auto* family = std::ranges::find(kFamilies, type, &Family::model_type);
  if (family == std::end(kFamilies)) return config.Unexpected("model_type", R"("llama", "mistral" or "qwen2")");
  const json* classes = config.Find("architectures");
  if (classes == nullptr) return *family;
  if (*classes == json::array({std::string(family->model_class)})) return *family;
  return config.Unexpected("architectures", fmt::format("[\"{}\"]", family->model_class));
}

absl::Status RefuseUnsupportedKeys(const JsonObject& config) {
  ASSIGN_OR_RETURN(const std::string activation, config.TextOr("hidden_act", "silu"));
  if (activation != "silu") return config.Unexpected("hidden_act", "\"silu\"");
  for (const char* key : {"attention_bias", "mlp_bias"}) {
    ASSIGN_OR_RETURN(const bool is_set, config.FlagOr(key, false));
    if (is_set) return config.Unexpected(key, "false");
  }
  if (config.Find("quantization_config") != nullptr) {
    return config.Unexpected("quantization_config", "nothing: weights in F32, F16 or BF16");
  }
  return absl::OkStatus();
}

absl::Status ReadSizes(const JsonObject& config, const Family& family, LlamaShape& shape) {
  ASSIGN_OR_RETURN(shape.vocabulary, config.Count("vocab_size", kMaxModelVocabulary));
  ASSIGN_OR_RETURN(shape.context, config.Count("max_position_embeddings", kMaxModelContext));
  ASSIGN_OR_RETURN(shape.width, config.Count("hidden_size", kMaxModelFeatures));
  ASSIGN_OR_RETURN(shape.layers, config.Count("num_hidden_layers", kMaxModelLayers));
  ASSIGN_OR_RETURN(shape.feed_forward, config.Count("intermediate_size", kMaxModelFeatures));
  ASSIGN_OR_RETURN(shape.heads, config.Count("num_attention_heads", kMaxModelHeads));
  // Other families have other defaults, and their files say it.
  if (family.model_type == "llama") {
    ASSIGN_OR_RETURN(shape.kv_heads, config.CountOr("num_key_value_heads", kMaxModelHeads, shape.heads));
  } else {
    ASSIGN_OR_RETURN(shape.kv_heads, config.Count("num_key_value_heads", kMaxModelHeads));
  }
  if (shape.heads % shape.kv_heads != 0) {
    return config.Unexpected("num_key_value_heads", fmt::format("a divisor of num_attention_heads, {}", shape.heads));
  }
  if (config.Find("head_dim") == nullptr && shape.width % shape.heads != 0) {
    return config.Unexpected("num_attention_heads", fmt::format("a divisor of hidden_size, {}", shape.width));
  }
  ASSIGN_OR_RETURN(shape.head_size, config.CountOr("head_dim", kMaxModelFeatures / shape.heads,
                                                   std::max(1u, shape.width / shape.heads)));
  if (shape.head_size % 2 != 0) return config.Unexpected("head_dim", "an even number");
  shape.rope_size = shape.head_size;
  ASSIGN_OR_RETURN(const double epsilon, config.NumberOr("rms_norm_eps", 1e-6));
  if (!(epsilon > 0 && epsilon < 1)) return config.Unexpected("rms_norm_eps", "above 0 and below 1");
  shape.norm_epsilon = static_cast<float>(epsilon);
  ASSIGN_OR_RETURN(shape.tied_output, config.FlagOr("tie_word_embeddings", false));
  return absl::OkStatus();
}

// Keys of newer files are in rope_parameters, of older ones beside the others and in rope_scaling.
absl::Status ReadRotation(const JsonObject& config, LlamaShape& shape) {
  for (const char* name : {"rope_parameters", "rope_scaling"}) {
    ASSIGN_OR_RETURN(const JsonObject parameters, config.Object(name));
    for (const char* key : {"rope_type", "type"}) {
      ASSIGN_OR_RETURN(const std::string type, parameters.TextOr(key, "default"));
      if (type != "default") return parameters.Unexpected(key, "\"default\"");
    }
  }
  ASSIGN_OR_RETURN(const JsonObject parameters, config.Object("rope_parameters"));
  for (const JsonObject* object : {&config, &parameters}) {
    ASSIGN_OR_RETURN(const double rotated, object->NumberOr("partial_rotary_factor", 1));
    if (rotated != 1) return object->Unexpected("partial_rotary_factor", "1");
  }
  const bool is_new = parameters.Find("rope_theta") != nullptr;
  const JsonObject& holder = is_new ? parameters : config;
  ASSIGN_OR_RETURN(const double base, holder.NumberOr("rope_theta", 10000));
  if (!(base >= 1 && base <= 1e30)) return holder.Unexpected("rope_theta", "1 to 1e30");
  shape.rope_base = static_cast<float>(base);
  return absl::OkStatus();
}

// The tokens that attention sees back, if not all.
absl::StatusOr<std::optional<uint32_t>> ReadWindow(const JsonObject& config, const Family& family) {
  if (family.model_type == "llama") return std::optional<uint32_t>();
  if (family.model_type == "qwen2") {
    ASSIGN_OR_RETURN(const bool is_used, config.FlagOr("use_sliding_window", false));
    if (!is_used) return std::optional<uint32_t>();
  }
  if (!config.Has("sliding_window")) return family.window;
  if (config.Find("sliding_window") == nullptr) return std::optional<uint32_t>();
  ASSIGN_OR_RETURN(const uint32_t window, config.Count("sliding_window", kMaxModelContext));
  return std::optional<uint32_t>(window);
}

absl::Status CheckLayerTypes(const JsonObject& config, bool has_window) {
  const json* types = config.Find("layer_types");
  if (types == nullptr) return absl::OkStatus();
  const bool known = types->is_array() && std::ranges::all_of(*types, [has_window](const json& type) {
                       return type == "full_attention" || (has_window && type == "sliding_attention");
                     });
  return known ? absl::OkStatus() : config.Unexpected("layer_types", "\"full_attention\" everywhere");
}

absl::StatusOr<std::optional<uint32_t>> ReadToken(const JsonObject& config, std::string_view key, uint32_t vocabulary) {
  const json* value = config.Find(key);
  if (value != nullptr && value->is_array() && !value->empty()) value = &value->front();
  if (value == nullptr) return std::optional<uint32_t>();
  // Some files say -1 for none.
  if (value->is_number_integer() && *value < 0) return std::optional<uint32_t>();
  if (!value->is_number_unsigned() || *value >= vocabulary) {
    return config.Unexpected(key, fmt::format("a token from 0 to {}", vocabulary - 1));
  }
  return std::optional<uint32_t>(value->get<uint32_t>());
}

}  // namespace

absl::StatusOr<ModelConfig> ReadModelConfig(std::string_view text) {
  ASSIGN_OR_RETURN(const JsonObject json, JsonObject::Parse(text, "config.json"));
  ASSIGN_OR_RETURN(const Family family, ReadFamily(json));
  RETURN_IF_ERROR(RefuseUnsupportedKeys(json));
  ModelConfig config;
  LlamaShape& shape = config.shape;
  shape.architecture = family.architecture;
  shape.rope_pairing = family.architecture == "llama" ? RopePairing::kInterleaved : RopePairing::kHalves;
  shape.qkv_bias = family.qkv_bias;
  RETURN_IF_ERROR(ReadSizes(json, family, shape));
  RETURN_IF_ERROR(ReadRotation(json, shape));
  ASSIGN_OR_RETURN(const std::optional<uint32_t> window, ReadWindow(json, family));
  RETURN_IF_ERROR(CheckLayerTypes(json, window.has_value()));
  if (window) shape.context = std::min(shape.context, *window);
  ASSIGN_OR_RETURN(config.bos, ReadToken(json, "bos_token_id", shape.vocabulary));
  ASSIGN_OR_RETURN(config.eos, ReadToken(json, "eos_token_id", shape.vocabulary));
  ASSIGN_OR_RETURN(config.pad, ReadToken(json, "pad_token_id", shape.vocabulary));
  return config;
}

}  // namespace fleetune
