#include "tools/model/quantize_command.h"

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/gguf/gguf_file.h"
#include "inference/runtime/engine.h"
#include "tools/model/opened_model.h"
#include "tools/model/rewrite_arguments.h"
#include "tools/model/rewrite_model.h"
#include "tools/model/source_model.h"
#include "tools/model/text_loss.h"

namespace fleetune {
namespace {

struct QuantizeArguments {
  std::string in;
  std::string out;
  RewriteArguments rewrite;
  bool json = false;
};

// How the texts are foreseen: exactly, so that it is the rounding of weights that shows.
absl::StatusOr<TextLoss> Score(const QuantizeArguments& arguments, const std::string& path) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, OpenModel(path, {.exact = true}));
  return LossOverTexts(model, nullptr, arguments.rewrite.texts, arguments.rewrite.window);
}

// Before and after; empty without texts.
struct Losses {
  std::optional<TextLoss> before, after;
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

void PrintJson(const std::vector<RewrittenTensor>& tensors, uintmax_t before, uintmax_t after, const Losses& losses) {
  nlohmann::ordered_json out = {{"bytes_before", before}, {"bytes_after", after}};
  if (losses.after) {
    out["perplexity_before"] = std::exp(losses.before->mean_loss);
    out["perplexity_after"] = std::exp(losses.after->mean_loss);
    out["scored_tokens"] = losses.after->scored_tokens;
  }
  out["tensors"] = ToJson(tensors);
  std::puts(out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

void PrintForPeople(const std::string& path, const std::vector<RewrittenTensor>& tensors, uintmax_t before, uintmax_t after,
                    const Losses& losses) {
  PrintTable(tensors);
  fmt::print("{}: {} bytes, before {}\n", path, after, before);
  if (!losses.after) return;
  fmt::print("perplexity {:.4f}, before {:.4f}, over {} tokens\n", std::exp(losses.after->mean_loss),
             std::exp(losses.before->mean_loss), losses.after->scored_tokens);
}

absl::Status RunQuantize(const QuantizeArguments& arguments) {
  ASSIGN_OR_RETURN(const SourceModel source, SourceModel::Open(arguments.in, arguments.out));
  ASSIGN_OR_RETURN(const std::shared_ptr<const GgufFile> file, GgufFile::Open(source.path()));
  Losses losses;
  if (!arguments.rewrite.texts.empty()) {
    ASSIGN_OR_RETURN(losses.before, Score(arguments, source.path()));
  }
  ASSIGN_OR_RETURN(
      const std::vector<RewrittenTensor> tensors,
      RewriteModel(*file, {.type = TensorTypeFromName(arguments.rewrite.type), .changes = {}}, arguments.out));
  if (!arguments.rewrite.texts.empty()) {
    ASSIGN_OR_RETURN(losses.after, Score(arguments, arguments.out));
  }
  const uintmax_t before = std::filesystem::file_size(source.path());
  const uintmax_t after = std::filesystem::file_size(arguments.out);
  if (arguments.json) {
    PrintJson(tensors, before, after, losses);
  } else {
    PrintForPeople(arguments.out, tensors, before, after, losses);
  }
  return absl::OkStatus();
}

}  // namespace

void AddQuantizeCommand(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<QuantizeArguments>();
  CLI::App* command =
      app.add_subcommand("quantize", "Writes a model with its matrices in another tensor type");
  command
      ->add_option("IN", arguments->in,
                   "GGUF file, or a Hugging Face model folder (config.json, tokenizer.json, safetensors)")
      ->required();
  command->add_option("OUT", arguments->out, "GGUF file to write")->required();
  AddTypeOption(*command, arguments->rewrite, "Type of the matrices")->required();
  AddTextOptions(*command, arguments->rewrite);
  command->add_flag("--json", arguments->json, "JSON with the error of each tensor");
  command->callback([arguments, &exit_code] { exit_code = ReportStatus(RunQuantize(*arguments)); });
}

}  // namespace fleetune
