#include "tools/model/merge_command.h"

#include <algorithm>
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
#include "lora/formats/adapter_file.h"
#include "tools/model/merge_rows.h"
#include "tools/model/opened_model.h"
#include "tools/model/rewrite_arguments.h"
#include "tools/model/rewrite_model.h"
#include "tools/model/text_loss.h"

namespace fleetune {
namespace {

struct MergeArguments {
  std::string model;
  std::string adapter;
  std::string out;
  RewriteArguments rewrite;
  bool json = false;
};

// How the texts are foreseen; empty where there are none.
struct Losses {
  std::optional<TextLoss> base;
  std::optional<TextLoss> with_adapter;
  std::optional<TextLoss> merged;
};

absl::Status ScoreBefore(const MergeArguments& arguments, std::shared_ptr<const GgufFile> file,
                         const std::vector<LoraPair>& pairs, Losses& losses) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, Model::Load(std::move(file)));
  ASSIGN_OR_RETURN(losses.base, LossOverTexts(model, nullptr, arguments.rewrite.texts, arguments.rewrite.window));
  ASSIGN_OR_RETURN(Adapter adapter, AssembleAdapter(pairs, SizesOf(model->shape())));
  ASSIGN_OR_RETURN(losses.with_adapter, LossOverTexts(model, std::make_shared<const Adapter>(std::move(adapter)),
                                                      arguments.rewrite.texts, arguments.rewrite.window));
  return absl::OkStatus();
}

absl::Status ScoreMerged(const MergeArguments& arguments, Losses& losses) {
  ASSIGN_OR_RETURN(std::shared_ptr<const GgufFile> file, GgufFile::Open(arguments.out));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, Model::Load(std::move(file)));
  ASSIGN_OR_RETURN(losses.merged, LossOverTexts(model, nullptr, arguments.rewrite.texts, arguments.rewrite.window));
  return absl::OkStatus();
}

nlohmann::ordered_json ToJson(const Losses& losses) {
  const auto perplexity = [](const std::optional<TextLoss>& loss) -> nlohmann::ordered_json {
    if (!loss) return nullptr;
    return std::exp(loss->mean_loss);
  };
  return {{"base", perplexity(losses.base)},
          {"with_adapter", perplexity(losses.with_adapter)},
          {"merged", perplexity(losses.merged)},
          {"scored_tokens", losses.merged->scored_tokens}};
}

void PrintJson(const MergeArguments& arguments, const std::vector<RewrittenTensor>& tensors, uintmax_t bytes_before,
               const Losses& losses) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const RewrittenTensor& tensor : tensors) {
    if (!tensor.changed) continue;
    list.push_back({{"name", tensor.name},
                    {"from", TensorTypeName(tensor.from)},
                    {"to", TensorTypeName(tensor.to)},
                    {"relative_error", tensor.relative_error}});
  }
  nlohmann::ordered_json out = {{"path", arguments.out},
                                {"bytes_before", bytes_before},
                                {"bytes_after", std::filesystem::file_size(arguments.out)},
                                {"merged", list}};
  if (losses.merged) out["perplexity"] = ToJson(losses);
  std::puts(out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

void PrintForPeople(const MergeArguments& arguments, const std::vector<RewrittenTensor>& tensors,
                    uintmax_t bytes_before, const Losses& losses) {
  double worst = 0;
  for (const RewrittenTensor& tensor : tensors) {
    if (tensor.changed) worst = std::max(worst, tensor.relative_error);
  }
  fmt::print("{}: {} matrices merged, rounded by at most {:.5f}, {} bytes, before {}\n", arguments.out,
             std::ranges::count(tensors, true, &RewrittenTensor::changed), worst,
             std::filesystem::file_size(arguments.out), bytes_before);
  if (!losses.merged) return;
  fmt::print("perplexity: base {:.4f}, with the adapter {:.4f}, merged {:.4f}, over {} tokens\n",
             std::exp(losses.base->mean_loss), std::exp(losses.with_adapter->mean_loss),
             std::exp(losses.merged->mean_loss), losses.merged->scored_tokens);
}

absl::Status RunMerge(const MergeArguments& arguments) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const GgufFile> file, GgufFile::Open(arguments.model));
  ASSIGN_OR_RETURN(const LlamaShape shape, ReadLlamaShape(*file));
  ASSIGN_OR_RETURN(std::vector<LoraPair> pairs, LoadAdapterPairs(arguments.adapter, AdapterBaseOf(shape)));
  const uintmax_t bytes_before = std::filesystem::file_size(arguments.model);
  Losses losses;
  if (!arguments.rewrite.texts.empty()) RETURN_IF_ERROR(ScoreBefore(arguments, file, pairs, losses));
  RewriteOptions options{.type = std::nullopt, .changes = MergeRows(std::move(pairs))};
  if (!arguments.rewrite.type.empty()) options.type = TensorTypeFromName(arguments.rewrite.type);
  ASSIGN_OR_RETURN(const std::vector<RewrittenTensor> tensors, RewriteModel(*file, options, arguments.out));
  if (!arguments.rewrite.texts.empty()) RETURN_IF_ERROR(ScoreMerged(arguments, losses));
  if (arguments.json) {
    PrintJson(arguments, tensors, bytes_before, losses);
  } else {
    PrintForPeople(arguments, tensors, bytes_before, losses);
  }
  return absl::OkStatus();
}

}  // namespace

void AddMergeCommand(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<MergeArguments>();
  CLI::App* command = app.add_subcommand("merge", "Writes a model with an adapter folded into its matrices");
  command->add_option("--model", arguments->model, "GGUF file of the adapter's base")->required();
  command->add_option("--adapter", arguments->adapter, "LoRA adapter: a .fta or GGUF file, or a PEFT folder (DoRA too)")
      ->required();
  command->add_option("--out", arguments->out, "GGUF file to write")->required();
  AddTypeOption(*command, arguments->rewrite, "Type of all matrices, without which each tensor keeps its own");
  AddTextOptions(*command, arguments->rewrite);
  command->add_flag("--json", arguments->json, "JSON with the rounding error of each merged tensor");
  command->callback([arguments, &exit_code] { exit_code = ReportStatus(RunMerge(*arguments)); });
}

}  // namespace fleetune
