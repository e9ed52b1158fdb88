#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/llama_shape.h"
#include "lora/train/pretrainer.h"
#include "tools/model/pretrain_vocabulary.h"

namespace fleetune {

// "smollm2-135m", "qwen2.5-0.5b" or "tinyllama-1.1b": sizes of models that people run on devices, for benchmarks on
// random weights. Published by their makers.
std::optional<LlamaShape> PublishedShape(std::string_view name);

// A writer that holds a model's metadata and vocabulary, and no tensor yet.
GgufWriter StartModelFile(const std::string& name, const LlamaShape& shape, const LearnedVocabulary& vocabulary);

// Adds one weight: norms and biases as F32; matrices as `type`, or as F16 where their rows do not divide into blocks.
void AddWeight(const NamedWeight& weight, TensorType type, GgufWriter& writer);

}  // namespace fleetune
