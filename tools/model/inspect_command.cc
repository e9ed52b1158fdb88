#include "tools/model/inspect_command.h"

#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>

#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/llama_shape.h"
#include "tools/model/opened_model.h"

namespace fleetune {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const GgufValue& value) {
  return std::visit(
      [](const auto& held) -> Json {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, GgufArray>) {
          return {{"array_of_type", held.element_type}, {"count", held.count}};
        } else {
          return held;
        }
      },
      value);
}

Json ToJson(const LlamaShape& shape) {
  return {{"architecture", shape.architecture},
          {"vocabulary", shape.vocabulary},
          {"context", shape.context},
          {"width", shape.width},
          {"layers", shape.layers},
          {"heads", shape.heads},
          {"kv_heads", shape.kv_heads},
          {"head_size", shape.head_size},
          {"rope_size", shape.rope_size},
          {"rope_base", shape.rope_base},
          {"rope_pairing", shape.rope_pairing == RopePairing::kInterleaved ? "interleaved" : "halves"},
          {"feed_forward", shape.feed_forward},
          {"norm_epsilon", shape.norm_epsilon},
          {"qkv_bias", shape.qkv_bias},
          {"tied_output", shape.tied_output}};
}

// Everything about the file, in the order in which people read it.
absl::StatusOr<Json> Describe(const std::string& path) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const GgufFile> file, GgufFile::Open(path));
  ASSIGN_OR_RETURN(const Digest digest, Sha256OfFile(path));
  uint64_t parameters = 0;
  std::map<std::string, uint64_t> bytes_by_type;
  Json tensors = Json::array();
  for (const GgufTensor& tensor : file->tensors()) {
    const std::string type(TensorTypeName(tensor.type));
    parameters += tensor.rows * tensor.columns;
    bytes_by_type[type] += tensor.data.size();
    tensors.push_back(
        {{"name", tensor.name}, {"type", type}, {"shape", tensor.shape}, {"bytes", tensor.data.size()}});
  }
  Json metadata = Json::object();
  for (const auto& [key, value] : file->values()) metadata[key] = ToJson(value);

  Json out = {{"path", path},
              {"bytes", std::filesystem::file_size(path)},
              {"sha256", digest.ToHex()},
              {"version", file->version()},
              {"parameters", parameters},
              {"bytes_by_type", bytes_by_type}};
  const absl::StatusOr<LlamaShape> shape = ReadLlamaShape(*file);
  if (shape.ok()) {
    out["model"] = ToJson(*shape);
  } else {
    out["not_a_model"] = std::string(shape.status().message());  // a vocabulary or an adapter, for instance
  }
  out["metadata"] = std::move(metadata);
  out["tensors"] = std::move(tensors);
  return out;
}

std::string Shown(const Json& value) {
  constexpr size_t kMaxShown = 80;
  if (value.is_object()) return fmt::format("[{} elements]", value["count"].get<uint64_t>());
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() <= kMaxShown) return text;
  size_t end = kMaxShown;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) --end;  // not inside a character
  return text.substr(0, end) + "...";
}

void PrintForPeople(const Json& out) {
  for (const auto& [key, value] : out.items()) {
    if (!value.is_structured()) fmt::print("{:<14} {}\n", key, Shown(value));
  }
  for (const char* part : {"bytes_by_type", "model", "metadata"}) {
    if (!out.contains(part)) continue;
    fmt::print("\n{}\n", part);
    for (const auto& [key, value] : out[part].items()) fmt::print("  {:<44} {}\n", key, Shown(value));
  }
  fmt::print("\ntensors\n");
  for (const Json& tensor : out["tensors"]) {
    fmt::print("  {:<32} {:<5} {}\n", tensor["name"].get<std::string>(), tensor["type"].get<std::string>(),
               tensor["shape"].dump());
  }
}

absl::Status RunInspect(const std::string& path, bool json) {
  ASSIGN_OR_RETURN(const Json out, Describe(path));
  if (json) {
    std::puts(out.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    PrintForPeople(out);
  }
  return absl::OkStatus();
}

}  // namespace

void AddInspectCommand(CLI::App& app, int& exit_code) {
  struct Arguments {
    std::string path;
    bool json = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("inspect", "What a GGUF file holds");
  command->add_option("FILE", arguments->path, "GGUF file")->required();
  command->add_flag("--json", arguments->json, "JSON with every tensor");
  command->callback(
      [arguments, &exit_code] { exit_code = ReportStatus(RunInspect(arguments->path, arguments->json)); });
}

}  // namespace fleetune
