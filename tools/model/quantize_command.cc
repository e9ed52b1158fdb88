#include "tools/model/quantize_command.h"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/gguf/gguf_writer.h"
#include "tools/model/opened_model.h"
#include "tools/model/rewrite_model.h"

namespace fleetune {
namespace {

struct QuantizeArguments {
  std::string in;
  std::string out;
  std::string type;
  bool json = false;
};

void PrintTable(const std::vector<RewrittenTensor>& tensors) {
  for (const RewrittenTensor& tensor : tensors) {
    fmt::print("{:<32} {:>5} -> {:<5} {:>12} bytes  error {:.5f}\n", tensor.name, TensorTypeName(tensor.from),
               TensorTypeName(tensor.to), tensor.bytes, tensor.relative_error);
  }
}

nlohmann::ordered_json ToJson(const std::vector<RewrittenTensor>& tensors) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const RewrittenTensor& tensor : tensors) {
    list.push_back({{"name", tensor.name},
                    {"from", TensorTypeName(tensor.from)},
                    {"to", TensorTypeName(tensor.to)},
                    {"bytes", tensor.bytes},
                    {"relative_error", tensor.relative_error}});
  }
  return list;
}

absl::Status RunQuantize(const QuantizeArguments& arguments) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const GgufFile> file, GgufFile::Open(arguments.in));
  GgufWriter writer;
  ASSIGN_OR_RETURN(const std::vector<RewrittenTensor> tensors,
                   RewriteModel(*file, {.type = TensorTypeFromName(arguments.type), .changes = {}}, writer));
  RETURN_IF_ERROR(writer.WriteFile(arguments.out));
  const uintmax_t before = std::filesystem::file_size(arguments.in);
  const uintmax_t after = std::filesystem::file_size(arguments.out);
  if (arguments.json) {
    const nlohmann::ordered_json out = {
        {"bytes_before", before}, {"bytes_after", after}, {"tensors", ToJson(tensors)}};
    std::puts(out.dump().c_str());
  } else {
    PrintTable(tensors);
    fmt::print("{}: {} bytes, before {}\n", arguments.out, after, before);
  }
  return absl::OkStatus();
}

}  // namespace

void AddQuantizeCommand(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<QuantizeArguments>();
  CLI::App* command =
      app.add_subcommand("quantize", "Writes a model with its matrices in another tensor type");
  command->add_option("IN", arguments->in, "GGUF file")->required();
  command->add_option("OUT", arguments->out, "GGUF file to write")->required();
  command->add_option("--type", arguments->type, "q8_0, q6_k, q5_0, q4_k, q4_0, f16, bf16 or f32")
      ->required()
      ->check(CLI::IsMember({"q8_0", "q6_k", "q5_0", "q4_k", "q4_0", "f16", "bf16", "f32"}, CLI::ignore_case));
  command->add_flag("--json", arguments->json, "JSON with the error of each tensor");
  command->callback([arguments, &exit_code] { exit_code = ReportStatus(RunQuantize(*arguments)); });
}

}  // namespace fleetune
