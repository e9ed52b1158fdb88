#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "inference/gguf/gguf_writer.h"
#include "inference/huggingface/model_config.h"
#include "inference/huggingface/model_tensors.h"
#include "inference/huggingface/tokenizer_config.h"
#include "inference/huggingface/tokenizer_json.h"
#include "inference/huggingface/weight_files.h"

namespace fleetune {

// A Hugging Face model folder of a Llama-family model, read and checked whole: config.json, tokenizer.json,
// tokenizer_config.json and chat_template.jinja (both optional), and the weights in safetensors files, which stay
// mapped. Immutable, so thread-safe. Which folders are read, and what becomes of them:
// docs/formats/huggingface_folder.md.
class ModelFolder {
 public:
  // NotFound (a file is missing), InvalidArgument (by file and key, or a tensor that is missing, of another shape, or
  // no part of such a model), DataLoss (cut off), ResourceExhausted (a file over its limit).
  static absl::StatusOr<ModelFolder> Open(const std::string& path);

  // Writes it as a GGUF file, atomically: matrices in their own type, norms and biases in F32. Holds a few megabytes of
  // weights at a time.
  absl::Status WriteGguf(const std::string& path) const;

 private:
  struct Source {
    ModelTensor tensor;
    const SafetensorsTensor* stored = nullptr;
  };
  ModelFolder(ModelConfig config, WeightFiles weights) : config_(std::move(config)), weights_(std::move(weights)) {}
  absl::Status ReadTokenizer(const std::string& path);
  absl::Status FindTensors();
  absl::Status AddMetadata(GgufWriter& writer) const;
  absl::Status CheckTokenizer() const;

  std::string name_;
  ModelConfig config_;
  WeightFiles weights_;
  TokenizerJson tokenizer_;
  TokenizerConfig tokenizer_config_;
  std::vector<Source> sources_;
};

}  // namespace fleetune
