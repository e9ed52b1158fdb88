#include "inference/huggingface/model_folder.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include "base/bytes.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/huggingface/gguf_tokenizer.h"
#include "inference/huggingface/json_object.h"
#include "inference/tokenizer/tokenizer.h"

namespace fleetune {
namespace {

constexpr uint64_t kMaxConfigBytes = 1u << 20;
constexpr uint64_t kMaxTokenizerBytes = 64u << 20;  // Gemma's, of 256,000 tokens, has 34 MB
constexpr uint64_t kMaxTokenizerConfigBytes = 16u << 20;
constexpr uint64_t kBytesAtOnce = 1u << 20;

absl::StatusOr<std::string> ReadText(const std::string& folder, const char* name, uint64_t max_bytes) {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(folder + "/" + name, max_bytes));
  return std::string(AsText(bytes));
}

// Empty if there is no such file.
absl::StatusOr<std::string> ReadOptionalText(const std::string& folder, const char* name, uint64_t max_bytes) {
  absl::StatusOr<std::string> text = ReadText(folder, name, max_bytes);
  return absl::IsNotFound(text.status()) ? std::string() : text;
}

TensorType GgufTypeOf(SafetensorsType type) {
  switch (type) {
    case SafetensorsType::kF16:
      return TensorType::kF16;
    case SafetensorsType::kBF16:
      return TensorType::kBF16;
    case SafetensorsType::kF32:
      break;
  }
  return TensorType::kF32;
}

std::string ShapeText(const std::vector<uint64_t>& shape) { return fmt::format("{}", fmt::join(shape, " x ")); }

absl::Status CheckShape(const ModelTensor& tensor, const SafetensorsTensor& stored) {
  std::vector<uint64_t> expected = {tensor.columns};
  if (!tensor.is_vector) expected.insert(expected.begin(), tensor.rows);
  if (stored.shape == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{}: expected {} by config.json, got {}", tensor.name, ShapeText(expected), ShapeText(stored.shape)));
}

absl::Status WriteVector(const SafetensorsTensor& stored, ByteSink sink) {
  const std::vector<float> values = ToFloats(stored);
  return sink({reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)});
}

// Rows in the order of GGUF.
absl::Status WriteMatrix(const ModelTensor& tensor, const SafetensorsTensor& stored, ByteSink sink) {
  if (tensor.interleaved_heads == 0) return sink(stored.data);
  const uint64_t row_bytes = stored.data.size() / tensor.rows;
  const uint64_t rows_at_once = std::max<uint64_t>(1, kBytesAtOnce / row_bytes);
  Bytes rows(std::min(rows_at_once, tensor.rows) * row_bytes);
  for (uint64_t begin = 0; begin < tensor.rows; begin += rows_at_once) {
    const uint64_t count = std::min(rows_at_once, tensor.rows - begin);
    for (uint64_t i = 0; i < count; ++i) {
      std::memcpy(rows.data() + i * row_bytes, stored.data.data() + SourceRow(tensor, begin + i) * row_bytes,
                  row_bytes);
    }
    RETURN_IF_ERROR(sink(std::span(rows).first(count * row_bytes)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ModelFolder::ReadTokenizer(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadText(path, "tokenizer.json", kMaxTokenizerBytes));
  ASSIGN_OR_RETURN(tokenizer_, ReadTokenizerJson(text, config_.shape.vocabulary));
  ASSIGN_OR_RETURN(const std::string config, ReadOptionalText(path, "tokenizer_config.json", kMaxTokenizerConfigBytes));
  if (!config.empty()) {
    ASSIGN_OR_RETURN(tokenizer_config_, ReadTokenizerConfig(config));
  }
  ASSIGN_OR_RETURN(const std::string chat_template, ReadOptionalText(path, "chat_template.jinja", kMaxConfigBytes));
  if (!chat_template.empty()) tokenizer_config_.chat_template = chat_template;
  return absl::OkStatus();
}

absl::Status ModelFolder::FindTensors() {
  std::set<const SafetensorsTensor*> used;
  for (ModelTensor& tensor : TensorsOf(config_.shape)) {
    const SafetensorsTensor* stored = weights_.Find(tensor.name);
    if (stored == nullptr) {
      return absl::InvalidArgumentError(fmt::format("tensor {} is missing, which config.json promises", tensor.name));
    }
    RETURN_IF_ERROR(CheckShape(tensor, *stored));
    used.insert(stored);
    sources_.push_back({std::move(tensor), stored});
  }
  for (const SafetensorsTensor* stored : weights_.tensors()) {
    if (used.contains(stored) || IsSuperfluous(stored->name, config_.shape)) continue;
    return absl::InvalidArgumentError(fmt::format(
        "tensor {} is not supported: no part of the model that config.json describes", Shown(stored->name)));
  }
  return absl::OkStatus();
}

absl::Status ModelFolder::AddMetadata(GgufWriter& writer) const {
  AddLlamaShape(config_.shape, writer);
  writer.AddString("general.type", "model");
  writer.AddString("general.name", name_);
  writer.AddUint32("general.quantization_version", 2);
  return AddTokenizer(tokenizer_, tokenizer_config_, config_, writer);
}

// What the reader of GGUF files would refuse is said before gigabytes are written.
absl::Status ModelFolder::CheckTokenizer() const {
  GgufWriter writer;
  RETURN_IF_ERROR(AddMetadata(writer));
  ASSIGN_OR_RETURN(const std::shared_ptr<const GgufFile> file, GgufFile::FromBytes(writer.Finish()));
  return Tokenizer::FromGguf(*file).status();
}

absl::StatusOr<ModelFolder> ModelFolder::Open(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadText(path, "config.json", kMaxConfigBytes));
  ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(text));
  ASSIGN_OR_RETURN(WeightFiles weights, WeightFiles::Open(path));
  ModelFolder folder(std::move(config), std::move(weights));
  folder.name_ = std::filesystem::weakly_canonical(path).filename().string();
  RETURN_IF_ERROR(folder.FindTensors());
  RETURN_IF_ERROR(folder.ReadTokenizer(path));
  RETURN_IF_ERROR(folder.CheckTokenizer());
  return folder;
}

absl::Status ModelFolder::WriteGguf(const std::string& path) const {
  GgufWriter writer;
  RETURN_IF_ERROR(AddMetadata(writer));
  for (const Source& source : sources_) {
    const ModelTensor& tensor = source.tensor;
    const TensorType type = tensor.is_vector ? TensorType::kF32 : GgufTypeOf(source.stored->type);
    std::vector<uint64_t> shape = {tensor.columns};
    if (!tensor.is_vector) shape.push_back(tensor.rows);
    writer.AddTensor(tensor.gguf_name, type, std::move(shape), [this, &source](ByteSink sink) {
      RETURN_IF_ERROR(source.tensor.is_vector ? WriteVector(*source.stored, sink)
                                              : WriteMatrix(source.tensor, *source.stored, sink));
      weights_.ReleasePages();
      return absl::OkStatus();
    });
  }
  return writer.WriteFile(path);
}

}  // namespace fleetune
